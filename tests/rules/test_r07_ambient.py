"""R7: environment, folder, random states, helper modules, listings and probes are inputs."""

from __future__ import annotations

import pytest

from support.notebooks import Lab, Notebook

MODE = Notebook(["import os\nmode=os.environ.get('NB_MODE','dev')", "r=mode.upper()", "w=3"])


def test_an_environment_variable(lab: Lab) -> None:
    lab.check(MODE, env={"NB_MODE": "prod"}, execute=[0, 1], skip=[2], expect=["r=='PROD'"])


def test_an_environment_variable_that_is_not_read(lab: Lab) -> None:
    lab.check(MODE, env={"NB_OTHER": "prod"}, skip=[0, 1, 2])


def test_a_variable_that_a_cell_sets(lab: Lab) -> None:
    lab.check(
        Notebook(["import os\nos.environ['NB_K']='1'", "r=os.environ['NB_K']", "s=r*2"]),
        {0: "import os\nos.environ['NB_K']='2'"},
        execute=[0, 1, 2],
        expect=["s=='22'"],
    )


def test_the_working_folder(lab: Lab) -> None:
    lab.check(
        Notebook(["import os\nos.makedirs('sub',exist_ok=True)", "os.chdir('sub')", "w=1"]),
        {2: "w=os.path.basename(os.getcwd())\nf=open('here','w'); f.write('x'); f.close()"},
        skip=[0, 1],
        execute=[2],
        expect=["w=='sub'"],
    )


def test_a_stream_of_random_numbers(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import random\nrandom.seed(3)", "a=random.random()", "b=5", "c=random.random()"],
            seeded=["random"],
        ),
        {2: "b=random.random()"},
        skip=[0, 1],
        execute=[2, 3],
        expect=["(random.seed(3),[random.random() for _ in range(3)]==[a,b,c])[1]"],
    )


def test_a_seed_cuts_the_dependency(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import random\nrandom.seed(1)\na=random.random()", "random.seed(2)\nb=random.random()"],
            seeded=["random"],
        ),
        {0: "import random\nrandom.seed(5)\na=random.random()"},
        execute=[0],
        skip=[1],
    )


def test_numpy_has_a_state_of_its_own(lab: Lab) -> None:
    lab.check(
        Notebook(
            ["import numpy as np\nnp.random.seed(1)", "a=np.random.rand()", "b=np.random.rand()"],
            seeded=["numpy"],
        ),
        {1: "a=np.random.rand(2).sum()"},
        skip=[0],
        execute=[1, 2],
    )


def test_a_helper_module_over_the_import_graph(lab: Lab) -> None:
    notebook = Notebook(
        ["from one import f", "a=f(1)", "b=2"],
        files={"one.py": "import two\ndef f(x): return two.g(x)\n", "two.py": "def g(x): return x+1\n"},
    )
    lab.check(notebook, files={"two.py": "def g(x): return x+10\n"}, execute=[1], skip=[2], expect=["a==11"])


def test_a_listing_and_a_probe(lab: Lab) -> None:
    notebook = Notebook(
        ["import os,glob\nn=len(glob.glob('*.dat'))", "have=os.path.exists('opt')", "w=1"],
        files={"a.dat": "1"},
    )
    lab.check(notebook, files={"b.dat": "2", "opt": ""}, execute=[0, 1], skip=[2], expect=["n==2", "have"])


def test_without_r7_a_variable_goes_unseen(lab: Lab) -> None:
    lab.breaks_without("R7", MODE, env={"NB_MODE": "prod"}, execute=[0, 1], expect=["r=='PROD'"])


def test_setting_what_is_set_already_is_a_write(lab: Lab) -> None:
    again = "os.environ['NBR_Q']='1'"
    lab.check(
        Notebook(["import os", again, again, "r=1"]),
        {3: "r=os.environ.get('NBR_Q')"},
        skip=[0, 1, 2],
        expect=["r=='1'"],
    )


def test_removing_what_is_not_there_is_a_write(lab: Lab) -> None:
    lab.check(
        Notebook(["import os", "x=1", "os.environ.pop('NBR_Q',None)", "r=1"]),
        {1: "os.environ['NBR_Q']='1'", 3: "r=os.environ.get('NBR_Q')"},
        skip=[0],
        expect=["r is None"],
    )


def test_seeding_again_alike_is_a_write(lab: Lab) -> None:
    notebook = Notebook(
        ["import random\nrandom.seed(5)", "random.seed(7)", "random.seed(7)"], seeded=("random",)
    )
    lab.check(notebook, skip=[0, 1, 2])


def test_drawing_and_then_seeding_as_before_is_a_draw(lab: Lab) -> None:
    again = "a=random.randint(0,100)\nrandom.seed(6)"
    notebook = Notebook(
        ["import random\nrandom.seed(4)", again, again, "c=random.choice([1,2,3,4])"], seeded=("random",)
    )
    lab.check(notebook, skip=[0, 1, 2, 3])


def test_looking_at_the_state_of_a_generator_is_a_read(lab: Lab) -> None:
    notebook = Notebook(
        ["import random\nrandom.seed(4)", "random.seed(0)", "c=3", "st=random.getstate()"], seeded=("random",)
    )
    lab.check(notebook, {1: "c=2"}, skip=[0, 2], execute=[3])


def test_putting_the_state_of_a_generator_back_is_a_write(lab: Lab) -> None:
    notebook = Notebook(
        [
            "import random\nrandom.seed(4)\nst=random.getstate()",
            "x=1",
            "random.setstate(st)",
            "c=random.random()",
        ],
        seeded=("random",),
    )
    lab.check(notebook, {1: "x=random.random()"}, skip=[0, 2, 3], execute=[1])


@pytest.mark.parametrize(
    ("imports", "generator"),
    [("import numpy as np", "np.random.mtrand._rand"), ("import random", "random._inst")],
)
def test_the_generator_that_all_share_stays_that_one(lab: Lab, imports: str, generator: str) -> None:
    """Models without a generator of their own hold it."""
    package = "np.random" if "np" in imports else "random"
    lab.check(
        Notebook([imports, f"box=[{generator}]", f"{package}.seed(5)\na=box[0].uniform(0,1)", "z=1"]),
        {3: f"z=box[0] is {generator}\nw=box[0].uniform(0,1)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["z is True"],
    )
