"""R12: a recorded error is shown again only if nothing outside the state had a part in it."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

OPEN = Notebook(["p='no.txt'", "t=open(p).read()", "w=1"])


def test_an_error_of_the_values_is_replayed(lab: Lab) -> None:
    result = lab.check(Notebook(["d=0", "r=1/d", "s='end'"]), skip=[0, 1, 2])
    assert result.actions == ["restored", "replayed", "restored"]
    assert result.runs[1].ename == "ZeroDivisionError"


def test_names_bound_before_the_error_are_there(lab: Lab) -> None:
    lab.check(
        Notebook(["d=0", "a=[1]\na.append(2)\nr=1/d\nb=3", "w=1"]),
        {2: "w=len(a)"},
        skip=[0, 1],
        execute=[2],
        expect=["w==2", "'b' not in globals()"],
    )


def test_an_error_is_gone_when_its_input_is(lab: Lab) -> None:
    lab.check(Notebook(["d=0", "r=1/d", "s=1"]), {0: "d=4"}, execute=[0, 1], skip=[2], expect=["r==.25"])


def test_an_import_that_failed_is_tried_again(lab: Lab) -> None:
    lab.check(
        Notebook(["import helper", "a=helper.V", "w=1"]),
        files={"helper.py": "V=3\n"},
        execute=[0, 1],
        skip=[2],
        expect=["a==3"],
    )


def test_an_interrupt_is_never_replayed(lab: Lab) -> None:
    lab.check(Notebook(["raise KeyboardInterrupt", "w=1"]), execute=[0], skip=[1])


def test_an_error_of_an_engine_is_no_result_of_the_cell(lab: Lab) -> None:
    # "Nanny failed to start" is a plain RuntimeError: where it was raised counts.
    package = {"distributed/__init__.py": "def start():\n    raise RuntimeError('Nanny failed to start.')\n"}
    lab.check(Notebook(["from distributed import start", "start()", "w=1"], package), execute=[1], skip=[2])


def test_an_error_behind_an_error(lab: Lab) -> None:
    source = (
        "try:\n    raise TimeoutError('no answer')\nexcept OSError as e:\n    raise ValueError('bad') from e"
    )
    lab.check(Notebook([source, "w=1"]), execute=[0], skip=[1])


def test_without_r12_a_missing_file_stays_missing(lab: Lab) -> None:
    lab.breaks_without("R12", OPEN, execute=[1], skip=[0, 2])


def test_outputs_may_hold_bytes(lab: Lab) -> None:
    """IPython sends what ``_repr_png_`` returns as it is; its session writes bytes as base64."""
    shown = "class Shown:\n    def _repr_png_(self):\n        return b'\\x89PNG...'\n    def __repr__(self):\n        return 'S'"
    lab.check(Notebook([shown, "Shown()", "y=1"]), {2: "y=2"}, skip=[0, 1], execute=[2])
