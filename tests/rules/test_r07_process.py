"""R7: state of the process that everyday cells change without a name: it comes back, or its cell runs again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from support.notebooks import Lab, Notebook

FILES = {"script.py": "z=41\n", "data.txt": "l1\nl2\nl3\n"}

COMES_BACK: Mapping[str, tuple[list[str], str]] = {
    "the format of figures": (
        [
            '%config InlineBackend.figure_format = "retina"\nimport matplotlib.pyplot as plt',
            "x=1",
            "plt.plot([1,2]);",
        ],
        "plt.plot([1,3]);",
    ),
    "what is displayed": (
        [
            "from IPython.core.interactiveshell import InteractiveShell\n"
            "InteractiveShell.ast_node_interactivity = 'all'",
            "x=1",
            "1\n2",
        ],
        "1\n3",
    ),
    "what is displayed, by the instance": (
        ["get_ipython().ast_node_interactivity = 'all'", "x=1", "1\n2"],
        "1\n3",
    ),
    "precision": (["%precision 3", "x=1.23456789", "x"], "x*2"),
    "pretty printing": (["%pprint", "x=list(range(50))", "x"], "x*2"),
    "ignored warnings": (
        ["import warnings\nwarnings.filterwarnings('ignore')", "x=1", "warnings.warn('a')\nx"],
        "warnings.warn('b')\nx",
    ),
    "warnings as errors": (
        [
            "import warnings\nwarnings.simplefilter('error')",
            "x=1",
            "try:\n    warnings.warn('a')\n    r=0\nexcept UserWarning: r=1",
        ],
        "try:\n    warnings.warn('b')\n    r=0\nexcept UserWarning: r=2",
    ),
    "a pattern of warnings": (
        [
            "import warnings\nwarnings.filterwarnings('ignore', message='a.*', module='.*')",
            "x=1",
            "warnings.warn('ab')",
        ],
        "warnings.warn('abc')",
    ),
    "a variable set by a magic": (["%env NBX=5", "import os", "os.environ['NBX']"], "os.environ['NBX']*2"),
    "captured output": (["%%capture out\nprint('hi')", "x=1", "out.stdout"], "out.stdout*2"),
    "a script": (["%run script.py", "y=z+1", "y"], "y+1"),
    "the inline backend": (["%matplotlib inline", "x=1", "x"], "x+1"),
    "a context variable": (
        ["import contextvars\nv=contextvars.ContextVar('v',default=0)\nv.set(5)\nNone", "x=1", "v.get()"],
        "v.get()+1",
    ),
    "a cache": (
        [
            "from functools import lru_cache\n@lru_cache(None)\ndef fib(n): return n if n<2 else fib(n-1)+fib(n-2)",
            "fib(10)",
            "fib.cache_info()",
        ],
        "fib.cache_info().hits",
    ),
    "a plot style": (
        [
            "import matplotlib.pyplot as plt\nplt.style.use('ggplot')",
            "x=1",
            "plt.rcParams['axes.facecolor']",
        ],
        "plt.rcParams['axes.facecolor']*2",
    ),
    "an option of pandas": (
        [
            "import pandas as pd\npd.set_option('display.max_rows',5)",
            "df=pd.DataFrame({'a':range(20)})",
            "df",
        ],
        "df+1",
    ),
    "an option of pandas that is a method": (
        [
            "import pandas as pd\npd.options.display.float_format='{:.2f}'.format",
            "df=pd.DataFrame({'a':[1.23456]})",
            "df",
        ],
        "df+1",
    ),
    "an option of numpy": (
        ["import numpy as np\nnp.set_printoptions(precision=2)", "a=np.array([1.23456])", "a"],
        "a+1",
    ),
    "numpy's errors": (
        ["import numpy as np\nnp.seterr(all='ignore')\nNone", "a=np.array([1.0])", "a/0"],
        "a/0*2",
    ),
    "a decimal context": (
        ["from decimal import *\ngetcontext().prec=5", "x=1", "Decimal(1)/3"],
        "Decimal(2)/3",
    ),
    "the collector": (["import gc\ngc.disable()", "x=1", "gc.isenabled()"], "not gc.isenabled()"),
    "a socket's patience": (
        ["import socket\nsocket.setdefaulttimeout(5)", "x=1", "socket.getdefaulttimeout()"],
        "socket.getdefaulttimeout()+1",
    ),
    "the time zone": (
        ["import os,time\nos.environ['TZ']='Asia/Tokyo'\ntime.tzset()", "x=1", "time.tzname"],
        "time.tzname*2",
    ),
    "the locale": (
        ["import locale\nlocale.setlocale(locale.LC_ALL,'C.UTF-8')", "x=1", "locale.getlocale()"],
        "locale.getlocale()[0]",
    ),
    "the level of a logger": (
        ["import logging\nlogging.getLogger('me').setLevel(10)", "x=1", "logging.getLogger('me').level"],
        "logging.getLogger('me').level+1",
    ),
    "an attribute of builtins": (
        ["x=5", "import builtins\nbuiltins.magic_thing=7", "magic_thing+x"],
        "magic_thing*x",
    ),
    "arguments of the process": (["import sys\nsys.argv=['prog','a']", "x=1", "sys.argv"], "sys.argv*2"),
    "a folder for temporary files": (
        ["import tempfile\ntempfile.tempdir='/tmp'", "x=1", "tempfile.gettempdir()"],
        "tempfile.gettempdir()*2",
    ),
    "a module made by hand": (
        [
            "import sys,types\nm=types.ModuleType('mymod')\nm.x=5\nsys.modules['mymod']=m",
            "y=1",
            "import mymod\nmymod.x",
        ],
        "import mymod\nmymod.x+1",
    ),
    "standard output": (
        [
            "import sys, io\nold=sys.stdout\nsys.stdout=buf=io.StringIO()",
            "print('x')",
            "sys.stdout=old\nbuf.getvalue()",
        ],
        "sys.stdout=old\nbuf.getvalue()*2",
    ),
    "a thread's own values": (["import threading\ntl=threading.local()\ntl.x=5", "y=1", "tl.x"], "tl.x+1"),
    "a generic function": (
        [
            "from functools import singledispatch\n@singledispatch\ndef f(x): return 'o'",
            "@f.register\ndef _(x:int): return 'i'",
            "f(1),f('')",
        ],
        "f(1)+f('')",
    ),
}
"""What is restored, the cells, and the last one after the edit."""

RUNS_AGAIN: Mapping[str, tuple[list[str], str]] = {
    "a line magic": (
        [
            "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef shout(line):\n"
            "    return line.upper()",
            "x=1",
            "%shout hello",
        ],
        "%shout world",
    ),
    "a cell magic": (
        [
            "from IPython.core.magic import register_cell_magic\n@register_cell_magic\ndef twice(line, cell):\n"
            "    exec(cell, get_ipython().user_ns); exec(cell, get_ipython().user_ns)",
            "x=1",
            "%%twice\nx=x+1",
        ],
        "%%twice\nx=x+2",
    ),
    "an extension": (["%load_ext autoreload\n%autoreload 2", "x=1", "x+1"], "x+2"),
    "an alias": (["%alias sayhi echo hi", "x=1", "%sayhi"], "%sayhi there"),
    "a formatter": (
        [
            "class P:\n    pass\nget_ipython().display_formatter.formatters['text/plain'].for_type("
            "P, lambda o,p,c: p.text('<<P>>'))\nNone",
            "p=P()",
            "p",
        ],
        "[p]",
    ),
    "a log handler": (
        [
            "import logging,sys\nlog=logging.getLogger('me')\nlog.setLevel(10)\nh=logging.StreamHandler(sys.stdout)\n"
            "log.addHandler(h)",
            "x=1",
            "log.debug('a')",
        ],
        "log.debug('b')",
    ),
    "basic logging": (
        [
            "import logging\nlogging.basicConfig(level=logging.INFO, format='%(message)s')\nlog=logging.getLogger('me')",
            "x=1",
            "log.info('a')",
        ],
        "log.info('b')",
    ),
    "a signal handler": (
        [
            "import signal\nold=signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
            "x=1",
            "signal.getsignal(signal.SIGUSR1)==signal.SIG_IGN",
        ],
        "[signal.getsignal(signal.SIGUSR1)==signal.SIG_IGN]",
    ),
    "a virtual subclass": (
        [
            "import collections.abc\nclass A: pass\ncollections.abc.Sequence.register(A)\nNone",
            "x=1",
            "isinstance(A(),collections.abc.Sequence)",
        ],
        "[isinstance(A(),collections.abc.Sequence)]",
    ),
    "a reducer": (
        [
            "import copyreg,pickle\nclass Q:\n    def __init__(s): s.v=1\ndef r(q): return (Q,())\ncopyreg.pickle(Q,r)",
            "q=Q();q.v=9",
            "pickle.loads(pickle.dumps(q)).v",
        ],
        "[pickle.loads(pickle.dumps(q)).v]",
    ),
    "a printer that is a function": (
        [
            "import numpy as np\nnp.set_printoptions(formatter={'float':lambda x:'F'})",
            "a=np.array([1.23456])",
            "a",
        ],
        "a+1",
    ),
    "a MIME type": (
        [
            "import mimetypes\nmimetypes.add_type('x/y','.xyz')",
            "x=1",
            "mimetypes.guess_type('a.xyz')",
        ],
        "[mimetypes.guess_type('a.xyz')]",
    ),
    "the mode mask": (
        [
            "import os\nold=os.umask(0o077)",
            "x=1",
            "open('a.txt','w').write('x')\noct(os.stat('a.txt').st_mode)",
        ],
        "n=open('a.txt','w').write('y')\noct(os.stat('a.txt').st_mode)",
    ),
}
"""What cannot be stored: the first cell runs, the second one is restored."""


@pytest.mark.parametrize("what", COMES_BACK)
def test_it_comes_back(lab: Lab, what: str) -> None:
    cells, edited = COMES_BACK[what]
    notebook = Notebook(cells, files=FILES)
    lab.check(notebook, skip=[0, 1, 2])
    result = lab.repeat(notebook, {2: edited})
    assert result.problems(skip=[0, 1], execute=[2]) == [], result.actions


@pytest.mark.parametrize("what", RUNS_AGAIN)
def test_its_cell_runs_again(lab: Lab, what: str) -> None:
    cells, edited = RUNS_AGAIN[what]
    result = lab.check(Notebook(cells, files=FILES), {2: edited}, execute=[0, 2], skip=[1])
    assert "cannot be stored: it runs at every repeat" in result.reports[0]["reason"]


def test_an_edit_of_what_cannot_be_stored_reaches_the_cells_below(lab: Lab) -> None:
    cells, _ = RUNS_AGAIN["a formatter"]
    lab.check(Notebook(cells), {0: cells[0].replace("<<P>>", "<<Q>>")}, execute=[0, 2])


def test_callbacks_of_every_cell_keep_all_cells_running(lab: Lab) -> None:
    cells = [
        "log=[]\ndef f(*a): log.append(1)\nget_ipython().events.register('post_run_cell', f)",
        "x=1",
        "n=len(log)",
    ]
    result = lab.check(Notebook(cells), execute=[0, 1, 2])
    assert result.reports[1]["reason"] == "a callback of the notebook runs with every cell"


def test_results_that_a_cell_displays_before_its_last(lab: Lab) -> None:
    cells = [
        "get_ipython().ast_node_interactivity='all'",
        "[1]\n[2]\n[3]\n[4]",
        "__.append(5)",
        "(_,__,___)",
        "x=1",
    ]
    lab.check(Notebook(cells), {4: "x=(_,__,___)"}, skip=[0, 1, 2, 3], execute=[4])


def test_without_r7_an_edited_filter_of_warnings_changes_nothing(lab: Lab) -> None:
    cells, _ = COMES_BACK["warnings as errors"]
    lab.breaks_without("R7", Notebook(cells), {0: cells[0].replace("error", "ignore")}, execute=[0, 2])


def test_what_importing_a_package_does_to_others_is_done_before_a_cell_runs(lab: Lab) -> None:
    cells = ["import extra_codec", "import mimetypes", "mimetypes.guess_type('a.extra')[0]"]
    lab.check(Notebook(cells), {2: "mimetypes.guess_type('b.extra')[0]"}, skip=[0, 1], execute=[2])


def test_so_it_is_when_a_helper_imports_it(lab: Lab) -> None:
    cells = ["import helping", "import mimetypes", "mimetypes.guess_type('a.extra')[0]"]
    notebook = Notebook(cells, files={"helping.py": "import extra_codec\n"})
    lab.check(notebook, {2: "mimetypes.guess_type('b.extra')[0]"}, skip=[0, 1], execute=[2])


def test_flags_of_decimal_are_read_by_users_of_decimal(lab: Lab) -> None:
    copied = (
        "with decimal.localcontext() as c:\n    pass\nn=sorted(s.__name__ for s, on in c.flags.items() if on)"
    )
    lab.check(
        Notebook(["import decimal", "x=1", copied, "y=2"]),
        {1: "x=decimal.Decimal(1)/3"},
        skip=[0, 3],
        execute=[1, 2],
        expect=["n==['Inexact','Rounded']"],
    )
