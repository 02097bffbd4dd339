"""R8: what a call into a package puts into the classes of packages."""

from __future__ import annotations

from support.notebooks import Lab, Notebook

ACCESSOR = (
    "import pandas as pd",
    "@pd.api.extensions.register_dataframe_accessor('own')\nclass Own:\n"
    "    def __init__(self, frame): self.frame=frame\n    def total(self): return int(self.frame.sum().sum())*2",
    "d=pd.DataFrame({'a':[1,2]})",
    "r=d.own.total()",
)


def test_an_accessor_that_a_restored_cell_registered(lab: Lab) -> None:
    lab.breaks_without("R8", Notebook(ACCESSOR), {3: "r=d.own.total()+1"}, skip=[0, 1, 2], expect=["r==7"])


def test_another_accessor_of_the_same_name(lab: Lab) -> None:
    other = ACCESSOR[1].replace("*2", "*3")
    lab.check(Notebook(ACCESSOR), {1: other}, skip=[0], execute=[1, 3], expect=["r==9"])


def test_an_accessor_that_is_not_registered_any_more(lab: Lab) -> None:
    notebook = Notebook([*ACCESSOR[:3], "r=hasattr(d,'own')"])
    lab.check(notebook, {1: "x=1"}, execute=[1, 3], expect=["r is False"])


def test_a_call_that_patches_again_what_is_patched(lab: Lab) -> None:
    """The second call makes no difference until the first one is gone."""
    again = "import tqdm\ntqdm.tqdm.pandas()"
    see = "r=hasattr(pd.DataFrame,'progress_apply')"
    notebook = Notebook(["import pandas as pd", again, f"n=1\n{again}", see])
    lab.check(notebook, {1: "x=1", 3: f"{see},"}, expect=["r==(True,)"])
    lab.check(notebook, {2: "n=2", 3: f"{see},"}, skip=[0, 1], expect=["r==(True,)"])


def test_what_an_import_patches_comes_with_the_import(lab: Lab) -> None:
    notebook = Notebook(["import numpy as np", "import sklearn.linear_model", "m=np.arange(3)", "r=m.sum()"])
    lab.check(notebook, {3: "r=m.sum()+1"}, skip=[0, 1, 2])


def test_objects_of_a_library_are_not_asked_for_anything(lab: Lab) -> None:
    lab.check(Notebook(["import loudlib", "x=1"]), {1: "x=loudlib.New.__name__"}, skip=[0], execute=[1])
