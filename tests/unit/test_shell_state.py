"""How figures are shown is the same fact before the inline backend was made and after."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell
from matplotlib_inline.config import InlineBackend

from nbrewind.kernel.shell_state import _inline_item


def test_the_backends_defaults_are_its_first_values() -> None:
    InlineBackend.clear_instance()
    item = _inline_item(InteractiveShell())
    before = item.get()
    assert not InlineBackend.initialized()
    item.put(before)
    assert InlineBackend.initialized() and item.get() == before
    InlineBackend.clear_instance()
