"""R8: what cells set or change on modules is state; references by name mean the unpatched thing."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

PATCH = Notebook(["import math", "math.floor=lambda x: 42", "r=math.floor(2.5)", "w=1"])
HELPER = {"hs.py": "LST=[]\nLIMIT=1\ndef add(x):\n    LST.append(x)\n    return len(LST)\n"}


def test_a_patched_attribute_is_an_input(lab: Lab) -> None:
    lab.check(PATCH, {1: "math.floor=lambda x: 43"}, skip=[0, 3], execute=[1, 2], expect=["r==43"])


def test_a_patch_of_a_skipped_cell_is_there(lab: Lab) -> None:
    lab.check(PATCH, {2: "r=math.floor(2.5)+1"}, skip=[0, 1], execute=[2], expect=["r==43"])


def test_the_original_survives_its_patch(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import math\n_orig=math.floor", "math.floor=lambda x: _orig(x)+100", "r=math.floor(2.5)", "q=1"]
        ),
        {3: "q=(_orig(2.5),math.floor(2.5))"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["q==(2,102)"],
    )


def test_a_patch_that_is_gone_is_taken_back(lab: Lab) -> None:
    lab.check(PATCH, {1: "pass"}, execute=[1, 2], expect=["r==2"])


def test_a_list_in_a_helper_module(lab: Lab) -> None:
    lab.check(
        Notebook(["import hs", "n=hs.add(1)", "m=hs.add(2)", "k=len(hs.LST)"], files=HELPER),
        {1: "n=hs.add(1)+hs.add(1)"},
        skip=[0],
        execute=[1, 2, 3],
        expect=["k==3"],
    )


def test_a_name_that_shares_with_a_module(lab: Lab) -> None:
    lab.check(
        Notebook(["import hs\nmine=hs.LST", "mine.append(5)", "w=1"], files=HELPER),
        {2: "w=hs.add(6)"},
        skip=[0, 1],
        execute=[2],
        expect=["mine==[5,6]", "mine is hs.LST"],
    )


def test_a_setting_on_a_helper_module(lab: Lab) -> None:
    lab.check(
        Notebook(["import hs\nhs.LIMIT=7", "r=hs.LIMIT*2"], files=HELPER),
        {0: "import hs\nhs.LIMIT=8"},
        execute=[0, 1],
        expect=["r==16"],
    )


def test_without_r8_a_patch_goes_unseen(lab: Lab) -> None:
    lab.breaks_without("R8", PATCH, {1: "math.floor=lambda x: 43"}, execute=[1, 2], expect=["r==43"])


def test_helpers_that_restored_cells_imported_are_loaded(lab: Lab) -> None:
    lab.check(
        Notebook(["import sys\nimport helper", "x=1"], files={"helper.py": "SCALE=2"}),
        {1: "x='helper' in sys.modules"},
        skip=[0],
        execute=[1],
        expect=["x is True"],
    )


def test_a_module_imported_twice_is_there_after_either(lab: Lab) -> None:
    lab.check(
        Notebook(["import sys", "import hh", "import hh", "x=hh.A", "z=1"], files={"hh.py": "A=1"}),
        {4: "z='hh' in sys.modules"},
        skip=[0, 1, 2, 3],
        expect=["z is True"],
    )


def test_the_notebooks_own_module_is_a_value(lab: Lab) -> None:
    lab.check(
        Notebook(["w=[9,3]", "import __main__", "w", "z=1"]),
        {3: "z=(_ is w, __main__.w is w)"},
        skip=[0, 1, 2],
        expect=["z==(True,True)"],
    )


def test_a_reloaded_module_has_other_objects(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "import importlib, hh\nfrom hh import T\nt=T()",
                "importlib.reload(hh);",
                "from hh import T",
                "z=1",
            ],
            files={"hh.py": "class T: pass\nREG=[]"},
        ),
        {3: "z=(isinstance(t,T), type(t) is hh.T, T is hh.T)"},
        skip=[0, 2],
        expect=["z==(False,False,True)"],
    )


def test_helpers_come_back_after_the_folder_was_left(lab: Lab) -> None:
    lab.check(
        Notebook(["import hh", "%cd -q sub", "z=1"], files={"hh.py": "A=1", "sub/x": ""}),
        {2: "z=hh.A"},
        skip=[0, 1],
        execute=[2],
    )


CLASSES = {"hh.py": "class T:\n    size=3\n    class In:\n        q=1"}


def test_attributes_of_importable_classes_are_inputs(lab: Lab) -> None:
    lab.check(
        Notebook(["import hh", "hh.T.size=9", "z=hh.T().size", "y=1"], files=CLASSES),
        {1: "hh.T.In.q=8"},
        skip=[0, 3],
        execute=[1, 2],
        expect=["z==3"],
    )


def test_attributes_of_importable_classes_come_back(lab: Lab) -> None:
    lab.check(
        Notebook(["from hh import T", "T.size=9", "t=T()", "y=1"], files=CLASSES),
        {3: "y=(t.size, T().size, T.In.q)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["y==(9,9,1)"],
    )


def test_methods_put_on_library_classes_come_back(lab: Lab) -> None:
    define = "def f():\n    setattr(Counter,'low',property(lambda self: 3))"
    lab.check(
        Notebook(
            [
                "from collections import Counter",
                "Counter.shout=lambda self: sorted(self)",
                define,
                "f()",
                "z=1",
            ]
        ),
        {4: "z=(Counter('ab').shout(), Counter().low)"},
        skip=[0, 1, 2, 3],
        execute=[4],
    )


def test_a_module_named_by_a_string_is_read(lab: Lab) -> None:
    lab.check(
        Notebook(["import sys, hh", "hh.A=2", "z=sys.modules['hh'].A"], files={"hh.py": "A=1"}),
        {1: "hh.A=3"},
        skip=[0],
        execute=[1, 2],
    )


def test_a_package_that_executes_modules_twice_is_not_reloaded(lab: Lab) -> None:
    files = {
        "twice.py": "import sys\nimport hh\nmodule = sys.modules['hh']\nmodule.__spec__.loader.exec_module(module)\n",
        "hh.py": "A=1",
    }
    lab.check(Notebook(["import twice", "x=1"], files=files), {1: "x=twice.hh.A"}, skip=[0], execute=[1])


@pytest.mark.parametrize(
    "reader",
    [
        "from hh import double\nv=double(3)",
        "from hh import *\nv=double(3)",
        "import hh as other\nv=other.double(3)",
        "def f():\n    import hh\n    return hh.double(3)\nv=f()",
        "import importlib\nv=importlib.import_module('hh').double(3)",
        "exec('from hh import double\\nv=double(3)')",
        "class K:\n    def m(self):\n        from hh import double\n        return double(3)\nv=K().m()",
    ],
)
def test_importing_what_is_loaded_already_reads_it(lab: Lab, reader: str) -> None:
    """No event tells of the second import of a module; its file is an input of that cell all the same."""
    lab.check(
        Notebook(["import hh", reader, "w=1"], files={"hh.py": "def double(x): return 2*x"}),
        {},
        files={"hh.py": "def double(x): return 2*x+1"},
        skip=[2],
        execute=[0, 1],
        expect=["v==7"],
    )


def test_a_function_that_imports_reads_what_it_imports_when_it_is_called(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["def f():\n    import hh\n    return hh.double(3)", "import hh", "v=f()", "w=1"],
            files={"hh.py": "def double(x): return 2*x"},
        ),
        {},
        files={"hh.py": "def double(x): return 2*x+1"},
        skip=[0, 3],
        execute=[1, 2],
        expect=["v==7"],
    )


@pytest.mark.parametrize("cell", ["%%time\nimport hh\nhh.LIMIT=7", "exec('import hh\\nhh.LIMIT=7')"])
def test_an_attribute_set_by_code_in_a_string(lab: Lab, cell: str) -> None:
    lab.check(
        Notebook([cell, "z=1"], files={"hh.py": "LIMIT=1"}),
        {1: "import hh\nz=hh.LIMIT"},
        execute=[1],
        expect=["z==7"],
    )


WRITE = "open('made.py','w').write('V=8')"
AGAIN = "open('made.py','w').write('V=3')"
GONE = "import os; os.remove('made.py')"


@pytest.mark.parametrize(
    "cells",
    [
        [WRITE, "import made", AGAIN],
        [WRITE, "import made", GONE],
        [f"{WRITE}\nimport made\n{AGAIN}"],
        [WRITE, "from made import V", AGAIN],
    ],
)
def test_a_loaded_module_stays_what_it_was_when_its_file_changes(lab: Lab, cells: list[str]) -> None:
    last = len(cells)
    lab.check(
        Notebook([*cells, "z=1"]),
        {last: "import made\nz=made.V"},
        skip=range(last),
        execute=[last],
        expect=["z==8"],
    )


def test_the_file_of_a_module_that_its_cell_overwrites_is_an_input(lab: Lab) -> None:
    lab.check(
        Notebook(["import hh\nx=hh.A\nopen('hh.py','w').write('A=9')"], files={"hh.py": "A=1"}),
        files={"hh.py": "A=2"},
        execute=[0],
        expect=["x==2"],
    )


def test_what_cells_put_into_builtins_is_read_by_its_name(lab: Lab) -> None:
    notebook = Notebook(["import builtins", "builtins.foo=5", "x=foo", "z=1"])
    lab.check(notebook, {3: "z=foo"}, skip=[0, 1, 2], execute=[3], expect=["z==5"])
    lab.check(notebook, {1: "builtins.foo=6"}, skip=[0, 3], execute=[1, 2], expect=["x==6"])


def test_a_class_of_a_module_is_patched_in_the_cell_that_imports_it(lab: Lab) -> None:
    notebook = Notebook(
        ["import hh\nhh.T.size=5", "from hh import T", "import importlib\nimportlib.reload(hh);", "z=1"],
        files={"hh.py": "class T: size=3"},
    )
    lab.check(notebook, {3: "z=T.size"}, skip=[0, 1], execute=[2, 3], expect=["z==5"])
    lab.check(notebook, {1: "from hh import T\ny=T.size"}, skip=[0], execute=[1], expect=["y==5"])


def test_a_module_that_its_first_cell_reloads_is_as_reloaded(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import importlib, hh\nhh.more=1\nimportlib.reload(hh);", "from hh import T", "z=1"],
            files={"hh.py": "class T: size=3"},
        ),
        {2: "import hh\nz=(T is hh.T, hh.more)"},
        skip=[0, 1],
        execute=[2],
        expect=["z==(True,1)"],
    )


THING = "countlib.Thing().name"


def test_a_library_counts_on_from_where_it_was(lab: Lab) -> None:
    notebook = Notebook(["import countlib", f"a={THING}", f"b={THING}", "w=1", "z=1"])
    lab.check(notebook, {4: f"z={THING}"}, skip=[0, 1, 2, 3], execute=[4], expect=["z=='thing[3] 2 3'"])
    lab.check(notebook, {1: "a=0"}, skip=[0, 3, 4], execute=[1, 2], expect=["b=='thing[1] 0 1'"])
    lab.check(notebook, {1: f"a={THING}, 0"}, skip=[0, 2, 3, 4], execute=[1], expect=["b=='thing[2] 1 2'"])


def test_a_number_that_a_helpers_own_function_changes(lab: Lab) -> None:
    notebook = Notebook(
        ["import hh", "a=hh.bump()", "b=hh.bump()", "z=1"],
        files={"hh.py": "N=0\ndef bump():\n    global N\n    N+=1\n    return N"},
    )
    lab.check(notebook, {3: "z=hh.bump()"}, skip=[0, 1, 2], execute=[3], expect=["z==3"])
    lab.check(notebook, {1: "a=0"}, skip=[0, 3], execute=[1, 2], expect=["b==1"])


def test_a_reload_that_found_no_file_finds_none_again(lab: Lab) -> None:
    """A failed reload takes the module's spec away: such a module looks like one that was made by hand."""
    notebook = Notebook(
        ["import importlib, helper", "helper.SCALE = 4", "%cd -q sub", "importlib.reload(helper);", "w = 1"],
        {"helper.py": "SCALE = 1\n", "sub/x.txt": ""},
    )
    lab.check(notebook, {4: "w = helper.SCALE"}, insert={3: "importlib.reload(helper);"})


def test_a_module_that_warns_whoever_imports_it(lab: Lab) -> None:
    look = "import os,warnings\nwith warnings.catch_warnings(record=True) as w:\n warnings.simplefilter('always')\n import shop"
    lab.check(
        Notebook(
            [look, "where=[os.path.basename(x.filename) for x in w]"],
            {"shop.py": "import loud", "loud.py": "import warnings\nwarnings.warn('look', stacklevel=2)"},
        ),
        {0: f"{look}\nn=1"},
        execute=[0],
        expect=["where==['shop.py']"],
    )
