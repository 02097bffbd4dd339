"""Code is content: the name of its file does not count, also where no source belongs to that name."""

from __future__ import annotations

import linecache

from nbrewind.flow.code import code_digest


def compiled(source: str, name: str) -> dict[str, object]:
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space: dict[str, object] = {}
    exec(compile(source, name, "exec"), space)
    return space


def test_code_that_came_back_from_a_worker_is_what_was_sent() -> None:
    """cloudpickle sends code without its file, and the source cannot be found from that."""
    sent = compiled("def f(x):\n    return x + 1\n", "<sent>")["f"].__code__  # type: ignore[attr-defined]
    before = code_digest(sent)
    assert code_digest(sent.replace(co_filename="<dynamic-code>")) == before
    other = compiled("def f(x):\n    return x + 2\n", "<other>")["f"].__code__  # type: ignore[attr-defined]
    assert code_digest(other.replace(co_filename="<dynamic-code>")) != before
