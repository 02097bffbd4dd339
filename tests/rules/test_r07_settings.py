"""R7: settings that packages and the interpreter keep for everybody, and what child processes are given."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook


def test_a_child_process_sees_the_variables_that_cells_set(lab: Lab) -> None:
    notebook = Notebook(
        [
            "import os, subprocess",
            "os.environ['FOO']='1'",
            "r=subprocess.run('echo $FOO',shell=True,capture_output=True,text=True).stdout",
            "s=!echo $FOO",
            "x=1",
        ]
    )
    lab.check(notebook, {1: "os.environ['FOO']='2'"}, skip=[0, 4], execute=[2, 3], expect=["r=='2\\n'"])


def test_asking_which_variables_there_are(lab: Lab) -> None:
    notebook = Notebook(["import os", "y=1", "n=sorted(k for k in os.environ if k.startswith('MINE_'))"])
    lab.check(notebook, {1: "os.environ['MINE_X']='1'"}, execute=[2], expect=["n==['MINE_X']"])
    lab.audit(notebook)
    result = lab.repeat(notebook, env={"MINE_Y": "1"}, expect=["n==['MINE_Y']"])
    assert result.problems([0, 1], [2]) == []


def test_arguments_changed_in_place(lab: Lab) -> None:
    read = "import argparse\np=argparse.ArgumentParser()\n_=p.add_argument('--n')\nv=p.parse_args().n"
    notebook = Notebook(["import sys", "sys.argv[1:]=['--n','3']", read, "del p"])
    lab.check(notebook, {2: f"{read}*2"}, skip=[0, 1], expect=["v=='33'"])
    lab.check(notebook, {1: "sys.argv[1:]=['--n','4']"}, execute=[2], expect=["v=='4'"])


SKLEARN = (
    "import sklearn, pandas as pd\nfrom sklearn.preprocessing import StandardScaler",
    "sklearn.set_config(transform_output='pandas')",
    "t=type(StandardScaler().fit_transform(pd.DataFrame({'a':[1.,2.]}))).__name__",
)
XARRAY = (
    "import xarray as xr",
    "_=xr.set_options(keep_attrs=True)",
    "t=(xr.DataArray([1.],attrs={'u':1})+1).attrs",
)
COLOURS = (
    "import matplotlib as mpl",
    "mpl.colormaps.register(mpl.colormaps['viridis'].reversed('mine'),name='mine')",
    "t='mine' in mpl.colormaps and mpl.colormaps['mine'](0)",
)


@pytest.mark.parametrize("cells", [SKLEARN, XARRAY, COLOURS], ids=["sklearn", "xarray", "matplotlib"])
def test_settings_of_a_package(lab: Lab, cells: tuple[str, ...]) -> None:
    lab.check(Notebook(cells), {2: f"{cells[2]}, 1"}, skip=[0, 1])
    lab.check(Notebook(cells), {1: "x=1"}, skip=[0], execute=[2])


def test_a_frame_is_drawn_by_settings_of_matplotlib(lab: Lab) -> None:
    notebook = Notebook(
        [
            "%matplotlib inline\nimport matplotlib as mpl, pandas as pd",
            "mpl.rcParams['lines.linewidth']=1",
            "d=pd.DataFrame({'a':[1,2,4]})",
            "w=d.plot().lines[0].get_linewidth()",
        ]
    )
    lab.check(notebook, {1: "mpl.rcParams['lines.linewidth']=9"}, skip=[0], execute=[3], expect=["w==9"])
