"""Everyday cases in which other systems restore a wrong state, each as a small notebook against a plain run.

The docstrings name the systems in which the case was seen to go wrong: Kishu (checkpoints of the namespace with
replay), dill (the session dumped after each cell), ipyflow (a slice of the notebook run again), the first prototype of
this project (dumps of what a cell mentions, by source and parent), joblib (``Memory``), vine_cache and the
prototype's cache of tasks.
"""

from __future__ import annotations

from support.notebooks import Lab, Notebook


def test_a_view_is_written_and_its_base_read(lab: Lab) -> None:
    """Kishu, dill and ipyflow restore view and base as two arrays."""
    lab.check(
        Notebook(["import numpy as np\nbase=np.zeros(4)\nview=base[1:3]", "view[0]=5", "s=base.sum()"]),
        {2: "view[1]=7\ns=base.sum()"},
        skip=[0, 1],
        execute=[2],
        expect=["s==12", "np.shares_memory(base,view)"],
    )


def test_a_frame_over_a_shared_array(lab: Lab) -> None:
    """ipyflow's slice misses the write through the array."""
    lab.check(
        Notebook(
            [
                "import numpy as np, pandas as pd\na=np.zeros((2,2))\ndf=pd.DataFrame(a,copy=False)",
                "a[0,0]=3",
                "n=df.iloc[0,0]",
            ]
        ),
        {1: "a[0,0]=4"},
        skip=[0],
        execute=[1, 2],
        expect=["n==4"],
    )


def test_counters_in_closures(lab: Lab) -> None:
    """ipyflow misses what a call changes in a closure; two closures share one cell."""
    lab.check(
        Notebook(
            [
                "def make():\n    n=0\n    def up():\n        nonlocal n\n        n+=1\n        return n\n    return up, lambda: n\nup,now=make()",
                "up()",
                "v=now()",
            ]
        ),
        {2: "up()\nv=now()"},
        skip=[0, 1],
        execute=[2],
        expect=["v==2"],
    )


def test_a_class_attribute_and_a_redefined_class(lab: Lab) -> None:
    """Kishu replays definitions, so that instances are of classes that are not theirs."""
    lab.check(
        Notebook(["class C:\n    k=1", "o=C()", "C.k=2", "class C:\n    k=9\np=C()", "r=(o.k,p.k)"]),
        {4: "r=(o.k,p.k,isinstance(o,C))"},
        skip=[0, 1, 2, 3],
        execute=[4],
        expect=["r==(2,9,False)"],
    )


def test_members_of_an_enumeration_stay_the_same_objects(lab: Lab) -> None:
    """dill restores a second class, whose members are other objects."""
    lab.check(
        Notebook(["import enum\nclass E(enum.Enum):\n    A=1\n    B=2", "x=E.A", "ok=x is E.A"]),
        {2: "ok=(x is E.A, x==E.A, {x:1}[E.A])"},
        skip=[0, 1],
        execute=[2],
        expect=["ok==(True,True,1)"],
    )


def test_a_generator_goes_on_where_it_was(lab: Lab) -> None:
    """dill cannot dump, ipyflow starts anew; the prototype gives the first item again."""
    lab.check(
        Notebook(["g=(i for i in range(5))\nfirst=next(g)", "w=1", "r=next(g)"]),
        {2: "r=[next(g)]"},
        skip=[0, 1],
        execute=[2],
        expect=["r==[1]"],
    )


def test_a_database_in_memory_keeps_its_tables(lab: Lab) -> None:
    """dill cannot dump; ipyflow and the prototype lose the tables."""
    lab.check(
        Notebook(
            [
                "import sqlite3\nc=sqlite3.connect(':memory:')",
                "c.execute('create table t(a)')\nc.execute('insert into t values (4)')\nNone",
                "r=c.execute('select a from t').fetchall()",
            ]
        ),
        {2: "r=c.execute('select a*2 from t').fetchall()"},
        skip=[0, 1],
        execute=[2],
        expect=["r==[(8,)]"],
    )


def test_a_context_variable(lab: Lab) -> None:
    """dill cannot dump."""
    lab.check(
        Notebook(
            ["import contextvars\nv=contextvars.ContextVar('v',default=0)", "v.set(5)\nw=1", "r=v.get()"]
        ),
        {2: "r=[v.get()]"},
        execute=[2],
        expect=["r==[5]"],
    )


def test_random_states_patches_and_variables_of_the_process(lab: Lab) -> None:
    """Kishu, dill and the prototype restore none of them."""
    lab.check(
        Notebook(
            [
                "import os, random, math\nimport numpy as np",
                "random.seed(1)\nnp.random.seed(2)\nos.environ['NB_PEER']='x'\nmath.tau2=6",
                "a=random.random()",
                "b=0",
            ]
        ),
        {3: "b=(random.random(),np.random.rand(),os.environ['NB_PEER'],math.tau2)"},
        skip=[0, 1, 2],
        execute=[3],
    )


def test_the_working_directory_and_files(lab: Lab) -> None:
    """All of them leave directory and files as they are; the prototype writes and reads in two places."""
    lab.check(
        Notebook(
            [
                "import os\nos.mkdir('w')\nos.chdir('w')",
                "open('f.txt','w').write('one')\nz=3",
                "open('f.txt','a').write('two')\nNone",
                "t=1",
            ]
        ),
        {3: "t=(os.path.basename(os.getcwd()),open('f.txt').read(),z)"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["t==('w','onetwo',3)"],
    )


def test_an_open_file_keeps_its_place(lab: Lab) -> None:
    """Kishu opens it again at the beginning; the prototype empties the file by restoring its handle."""
    lab.check(
        Notebook(["f=open('out.txt','w')\nf.write('important')\nf.flush()", "w=1", "n=1"]),
        {2: "n=f.tell()\nf.write('!')\nf.flush()"},
        skip=[0, 1],
        execute=[2],
        expect=["n==9", "open('out.txt').read()=='important!'"],
    )


def test_a_deleted_name_is_gone(lab: Lab) -> None:
    """dill merges into the namespace; the prototype's names of later cells stay."""
    lab.check(
        Notebook(["x=1\ny=2", "del x", "r='x' in globals()"]),
        {2: "r=['x' in globals()]"},
        skip=[0, 1],
        execute=[2],
        expect=["r==[False]"],
    )


def test_a_cell_that_raised_half_way(lab: Lab) -> None:
    """The prototype restores it as if all were well and goes on."""
    lab.check(
        Notebook(["v=1", "v=2\nraise ValueError('no')", "w=v"], raises=[1]),
        {2: "w=v*10"},
        skip=[0, 1],
        execute=[2],
        expect=["w==20"],
    )


def test_magic_cells_are_cells(lab: Lab) -> None:
    """Kishu fails on ``%%capture``; the prototype stores nothing for cells that begin with ``%%``."""
    lab.check(
        Notebook(["%%time\nbig=42", "%%capture out\nprint('hidden')\nlow=1", "r=big+low"]),
        {2: "r=(big-low,out.stdout)"},
        execute=[2],
        expect=["r==(41,'hidden\\n')"],
    )


def test_await_at_top_level(lab: Lab) -> None:
    """ipyflow takes it for a syntax error."""
    lab.check(
        Notebook(
            [
                "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3",
                "x=[await f()]",
                "y=x",
            ]
        ),
        {2: "y=x*2"},
        skip=[0, 1],
        execute=[2],
        expect=["y==[3,3]"],
    )


def test_a_task_in_the_background(lab: Lab) -> None:
    """Kishu and ipyflow lose what it changes after its cell, dill cannot dump."""
    lab.check(
        Notebook(
            [
                "import asyncio\nlog=[]\nasync def f():\n    await asyncio.sleep(0)\n    log.append(1)\nt=asyncio.ensure_future(f())",
                "await t\nn=len(log)",
                "m=n",
            ]
        ),
        {2: "m=(n,list(log))"},
        execute=[2],
        expect=["m==(1,[1])"],
    )


def test_a_global_set_by_a_function_and_by_exec(lab: Lab) -> None:
    """ipyflow sees neither."""
    lab.check(
        Notebook(["def f():\n    global q\n    q=5", "f()\nexec('p=q+1')", "r=p+q"]),
        {0: "def f():\n    global q\n    q=6"},
        execute=[0, 1, 2],
        expect=["r==13"],
    )


def test_a_lock_that_is_held(lab: Lab) -> None:
    """ipyflow's slice holds none."""
    lab.check(
        Notebook(["import threading\nk=threading.Lock()", "k.acquire()", "r=k.locked()"]),
        {2: "r=[k.locked()]"},
        skip=[0, 1],
        execute=[2],
        expect=["r==[True]"],
    )


def test_names_with_an_underscore(lab: Lab) -> None:
    """Kishu does not see them."""
    lab.check(
        Notebook(["_p=[1]", "_p.append(2)", "r=len(_p)"]), {1: "_p.extend([2,3])"}, skip=[0], execute=[1, 2],
        expect=["r==3"],
    )  # fmt: skip


def test_pools_of_threads_and_processes(lab: Lab) -> None:
    """Kishu commits nothing more after a pool of processes, dill cannot dump a pool of threads."""
    lab.check(
        Notebook(
            [
                "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\nt=ThreadPoolExecutor(1)\np=ProcessPoolExecutor(1)",
                "a=t.submit(pow,2,3).result()",
                "b=1",
            ]
        ),
        {2: "b=t.submit(pow,a,2).result()\np.shutdown()\nt.shutdown()"},
        skip=[0, 1],
        execute=[2],
        expect=["b==64"],
    )


def test_a_cache_of_results_and_a_lossy_class(lab: Lab) -> None:
    """Kishu and dill empty both, ipyflow the cache."""
    lab.check(
        Notebook(
            [
                "import functools\ncalls=[]\n@functools.lru_cache\ndef f(x):\n    calls.append(x)\n    return x*2\n"
                "class Q:\n    def __init__(s): s.c=[1,2]\n    def __getstate__(s): return {'c':[]}\nq=Q()",
                "f(2)\nq.c.append(3)\nNone",
                "n=len(calls)",
            ]
        ),
        {2: "f(2)\nn=(list(calls),len(q.c))"},
        skip=[0, 1],
        execute=[2],
        expect=["n==([2],3)"],
    )


def test_replay_applies_nothing_twice(lab: Lab) -> None:
    """Kishu loads values and then replays the cell that changes them: [1,2,2]; the prototype likewise."""
    lab.check(
        Notebook(["x=[1]\ng=(i for i in x)", "x.append(2)\nr=x.append", "n=list(x)"]),
        {2: "n=(list(x),r.__self__ is x)"},
        skip=[0, 1],
        execute=[2],
        expect=["n==([1,2],True)"],
    )


def test_none_is_a_value(lab: Lab) -> None:
    """The prototype takes a stored None for a value that could not be stored, and appends again."""
    lab.check(
        Notebook(["n=[]", "r=n.append(1)", "m=n"]), {2: "m=(list(n),r)"}, skip=[0, 1], execute=[2],
        expect=["m==([1],None)"],
    )  # fmt: skip


def test_functions_see_the_names_of_now(lab: Lab) -> None:
    """Functions that Kishu restores keep the globals of another process: NameError."""
    lab.check(
        Notebook(["k=1\ndef f():\n    return k", "a=f()", "k=5", "b=f()"]),
        {3: "b=[f()]"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["b==[5]"],
    )


def test_a_setstate_that_fails_costs_only_its_own_value(lab: Lab) -> None:
    """One of them aborts Kishu's whole checkout."""
    lab.check(
        Notebook(
            [
                "class Bad:\n    def __setstate__(s,st): raise RuntimeError('no')\n    def __init__(s): s.v=1\nbad=Bad()",
                "good=[1]",
                "r=good",
            ]
        ),
        {2: "r=(good,bad.v)"},
        skip=[0, 1],
        execute=[2],
        expect=["r==([1],1)"],
    )


def test_an_inserted_cell_counts(lab: Lab) -> None:
    """The prototype knows a cell by its text and parent: y stays 2."""
    lab.check(Notebook(["x=1", "y=x+1", "y"]), insert={1: "x=100"}, execute=[1, 2, 3], expect=["y==101"])


def test_what_a_function_changes_behind_a_name(lab: Lab) -> None:
    """The prototype stores what a cell mentions: the list stays empty."""
    lab.check(
        Notebook(["data=[]", "def add(): data.append(1)", "add()", "n=len(data)"]),
        {3: "n=[len(data)]"},
        skip=[0, 1, 2],
        execute=[3],
        expect=["n==[1]"],
    )


def test_one_cell_of_a_notebook_in_a_fresh_kernel(lab: Lab) -> None:
    """The prototype restores y=2 where there is no x."""
    notebook = Notebook(["x=1", "y=x+1"])
    lab.audit(notebook)
    alone = lab.run("repeat", [("c1", "y=x+1")], describe=False)
    assert alone.runs[0].status == "error" and alone.runs[0].ename == "NameError"


def test_a_changed_input_file(lab: Lab) -> None:
    """All of them but FLINC give the old content without a word."""
    lab.check(
        Notebook(["d=open('in.txt').read()", "n=len(d)"], {"in.txt": "old"}),
        files={"in.txt": "newer"},
        execute=[0, 1],
        expect=["n==5"],
    )


def test_cells_of_equal_text(lab: Lab) -> None:
    """The prototype replays the first one's outputs for both."""
    lab.check(
        Notebook(["x=0", "x+=1\nprint(x)", "x+=1\nprint(x)", "r=x"]),
        {3: "r=[x]"},
        skip=[0, 1, 2],
        execute=[3],
    )


def test_some_of_the_results_cannot_be_pickled(lab: Lab) -> None:
    """The prototype runs the cell at each restore."""
    lab.check(
        Notebook(
            ["runs=[]\ndef mk():\n    runs.append(1)\n    return (i for i in 'ab'), 5", "u,w=mk()", "r=w"]
        ),
        {2: "r=(w,len(runs))"},
        skip=[0, 1],
        execute=[2],
        expect=["r==(5,1)"],
    )


def test_a_low_recursion_limit_hinders_nothing(lab: Lab) -> None:
    """The prototype's dumps fail silently, and values vanish."""
    lab.check(
        Notebook(["import sys\nd=[]\nfor _ in range(300): d=[d]", "sys.setrecursionlimit(300)", "n=len(d)"]),
        {2: "n=(len(d),sys.getrecursionlimit())"},
        skip=[0, 1],
        execute=[2],
        expect=["n==(1,300)"],
    )


def test_lines_before_and_comments_change_nothing(lab: Lab) -> None:
    """A changed comment makes every cell of the prototype run again."""
    lab.check(
        Notebook(["# one\nx=1", "y=x  # two", "z=y"]),
        {0: "# another\n\n\nx=1", 1: "y=x"},
        insert={0: "\n\n"},
        skip=[1, 2, 3],
    )


def test_a_callee_is_an_input(lab: Lab) -> None:
    """joblib keys a call by the function's own source: helpers and globals are missed."""
    lab.check(
        Notebook(["k=2\ndef g(x): return x*k", "def f(x): return g(x)+1", "r=f(3)"]),
        {0: "k=2\ndef g(x): return x+k"},
        skip=[1],
        execute=[0, 2],
        expect=["r==6"],
    )


def test_a_call_is_known_by_its_function_and_the_types_and_names_of_its_arguments(lab: Lab) -> None:
    """The caches of tasks take f(3) for g(3), [1,2] for (1,2), left=A, right=B for left=B, right=A."""
    cell = "r=(f(3),type(a).__name__,join(left='A',right='B'))"
    lab.check(
        Notebook(["def f(x): return x", "a=[1,2]", "def join(left,right): return left+right", cell]),
        {0: "def f(x): return -x", 1: "a=(1,2)", 3: cell.replace("left='A',right='B'", "left='B',right='A'")},
        execute=[0, 1, 3],
        skip=[2],
        expect=["r==(-3,'tuple','BA')"],
    )


def test_a_changed_closure_global_and_default_of_a_callable(lab: Lab) -> None:
    """The caches of tasks see none of the three."""
    lab.check(
        Notebook(
            [
                "k=1",
                "def outer(n):\n    def f(x, d=n): return x+n+d+k\n    return f\nf=outer(1)",
                "r=list(map(f,[0]))",
            ]
        ),
        {1: "def outer(n):\n    def f(x, d=n): return x+n+d+k\n    return f\nf=outer(2)"},
        skip=[0],
        execute=[1, 2],
        expect=["r==[5]"],
    )


def test_a_current_figure(lab: Lab) -> None:
    """Kishu and dill restore the figure and not pyplot's list of figures; ipyflow neither."""
    lab.check(
        Notebook(
            [
                "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\nfig=plt.figure(3)",
                "plt.plot([1,2])\nNone",
                "n=1",
            ]
        ),
        {2: "plt.title('t')\nn=(plt.gcf() is fig,plt.get_fignums(),len(fig.axes))"},
        skip=[0, 1],
        execute=[2],
        expect=["n==(True,[3],1)"],
    )


def test_drawing_while_attached_changes_no_seeded_state(lab: Lab) -> None:
    """Attaching Kishu draws from the global generator."""
    lab.check(
        Notebook(["import random\nrandom.seed(7)", "a=random.random()", "b=random.random()"]),
        {2: "b=[random.random()]"},
        skip=[0, 1],
        execute=[2],
    )
