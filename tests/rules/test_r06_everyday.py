"""R6: files that everyday cells read, write and list, by whatever means: against a plain run after an edit."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from support.notebooks import Lab, Notebook

FILES = {
    "a.csv": "x,y\n1,2\n3,4\n",
    "data.txt": "l1\nl2\nl3\n",
    "conf.json": '{"a":1}',
    "d/one.txt": "1",
    "d/two.txt": "2",
    "helper.py": "STATE=[]\nK=3\ndef f(x):\n    STATE.append(x)\n    return x*K+len(STATE)\n",
    "pkg/__init__.py": "from .core import g\n",
    "pkg/core.py": "def g(x): return x+1\n",
}

CONNECT = (
    "import sqlite3\nc=sqlite3.connect('t.db')\nc.execute('create table t(a)')\nc.execute('insert into t values({})')\n"
    "c.commit()\nc.close()"
)
SELECT = "c=sqlite3.connect('t.db')\nr=c.execute('select * from t').fetchall()\nc.close()\nr"
HELPER = FILES["helper.py"]

READS: Mapping[str, tuple[list[str], dict[str, str | None]]] = {
    "a child's argument": (["n=!wc -l < data.txt", "k=int(n[0])", "k"], {"data.txt": "l1\nl2\n"}),
    "a child's own reading": (
        [
            "import subprocess,sys\n"
            "r=subprocess.run([sys.executable,'-c','print(len(open(\"data.txt\").read()))'],capture_output=True)",
            "t=int(r.stdout)",
            "t+1",
        ],
        {"data.txt": "zz\n"},
    ),
    "a child's file from another": (
        ["import os\nos.system('cat data.txt > o.txt')\nNone", "t=open('o.txt').read()", "len(t)"],
        {"data.txt": "zzz\n"},
    ),
    "a pool of processes": (
        [
            "import multiprocessing as mp\ndef rd(p): return len(open(p).read())\n"
            "with mp.get_context('fork').Pool(2) as ex: r=ex.map(rd,['data.txt','conf.json'])\ndel ex",
            "n=sum(r)",
            "n",
        ],
        {"conf.json": '{"a":22222}'},
    ),
    "a pool of threads": (
        [
            "from concurrent.futures import ThreadPoolExecutor\ndef rd(p): return open(p).read()\n"
            "with ThreadPoolExecutor(2) as ex: r=list(ex.map(rd,['data.txt','conf.json']))\ndel ex",
            "n=sum(map(len,r))",
            "n",
        ],
        {"conf.json": '{"a":22222}'},
    ),
    "pandas": (
        ["import pandas as pd\ndf=pd.read_csv('a.csv')", "m=df.x.mean()", "m"],
        {"a.csv": "x,y\n5,2\n"},
    ),
    "glob": (["import glob\nfs=sorted(glob.glob('d/*.txt'))", "n=len(fs)", "n"], {"d/three.txt": "3"}),
    "rglob": (
        ["from pathlib import Path\nfs=sorted(p.name for p in Path('d').rglob('*.txt'))", "n=len(fs)", "n"],
        {"d/three.txt": "3"},
    ),
    "walk": (
        ["import os\nfs=[f for _,_,x in os.walk('d') for f in sorted(x)]", "n=len(fs)", "n"],
        {"d/3.txt": "3"},
    ),
    "existence": (["import os\ne=os.path.exists('new.txt')", "f=not e", "f"], {"new.txt": "3"}),
    "a size": (["import os\ne=os.path.getsize('data.txt')", "f=e+1", "f"], {"data.txt": "abcdefgh"}),
    "linecache": (
        ["import linecache\nl=linecache.getline('data.txt',2)", "x=l", "x"],
        {"data.txt": "q\nw\ne\n"},
    ),
    "a helper": (["import helper", "a=helper.f(2)", "a"], {"helper.py": HELPER.replace("K=3", "K=4")}),
    "a module of a package": (["import pkg", "a=pkg.g(2)", "a"], {"pkg/core.py": "def g(x): return x+100\n"}),
    "a function of a package": (
        ["from pkg.core import g", "a=g(2)", "a"],
        {"pkg/core.py": "def g(x): return x+100\n"},
    ),
}
"""The cells, all of which depend on the file, and its change."""

WRITES: Mapping[str, tuple[list[str], str]] = {
    "a database": ([CONNECT.format(1), "x=1", SELECT], SELECT + "*2"),
    "a database that stays open": (
        [
            "import sqlite3\nc=sqlite3.connect('t.db')\nc.execute('create table t(a)')\nNone",
            "c.execute('insert into t values(7)')\nc.commit()",
            "r=c.execute('select * from t').fetchall()",
        ],
        "r=c.execute('select a+1 from t').fetchall()",
    ),
    "a map of memory": (
        [
            "import numpy as np\nm=np.memmap('m.dat',dtype='f8',mode='w+',shape=(4,))",
            "m[1]=5\nm.flush()",
            "s=float(np.fromfile('m.dat').sum())",
        ],
        "s=float(np.fromfile('m.dat').max())",
    ),
    "a log file": (
        [
            "import logging\nlg=logging.getLogger('fh')\nlg.setLevel(20)\nh=logging.FileHandler('x.log')\nlg.addHandler(h)",
            "lg.info('a')",
            "lg.info('b')\nh.flush()",
        ],
        "lg.info('c')\nh.flush()",
    ),
    "a file written later": (
        ["f=open('w.txt','w')", "f.write('a')", "f.write('b')\nf.close()"],
        "f.write('c')\nf.close()",
    ),
    "an appended file": (
        [
            "open('log.txt','a').write('a\\n')\nNone",
            "open('log.txt','a').write('b\\n')\nNone",
            "t=open('log.txt').read()",
        ],
        "t=open('log.txt').read()*2",
    ),
    "a renamed file": (
        ["import os\nos.rename('data.txt','moved.txt')", "t=open('moved.txt').read()", "len(t)"],
        "len(t)+1",
    ),
    "a copied tree": (
        ["import shutil\nshutil.copytree('d','e')\nNone", "import os\nn=sorted(os.listdir('e'))", "n"],
        "n*2",
    ),
    "a removed tree": (["import shutil,os\nshutil.rmtree('d')", "n=os.path.exists('d')", "n"], "not n"),
    "mode bits": (
        ["import os\nos.chmod('data.txt',0o600)", "x=1", "oct(os.stat('data.txt').st_mode)"],
        "[oct(os.stat('data.txt').st_mode)]",
    ),
    "the file of a child": (["!cp data.txt copy.txt", "t=open('copy.txt').read()", "u=len(t)"], "u=len(t)+1"),
    "the script of a shell": (["%%bash\necho hi > out.txt", "t=open('out.txt').read()", "u=t*2"], "u=t*3"),
    "an archive that is read": (
        ["import pickle\npickle.dump({'a':1},open('p.pkl','wb'))", "d=pickle.load(open('p.pkl','rb'))", "d"],
        "[d]",
    ),
    "a shelf": (
        [
            "import shelve\nwith shelve.open('sh') as s: s['k']=[1]",
            "with shelve.open('sh') as s: v=s['k']",
            "v",
        ],
        "v*2",
    ),
    "a list of a helper's": (
        ["from helper import f, STATE", "a=f(2)", "c=(f(3),list(STATE))"],
        "c=(f(4),list(STATE))",
    ),
    "a parser of its own": (
        [
            "import configparser,re\nc=configparser.ConfigParser()\nc['s']={'a':'1'}\nc.write(open('c.ini','w'))\n"
            "p=re.compile('a+')",
            "d=configparser.ConfigParser()\nd.read('c.ini')\nNone",
            "p.findall(d['s']['a']+'aa')",
        ],
        "p.findall(d['s']['a']+'baa')",
    ),
}
"""The cells, and the last one after the edit; the first two are not affected."""


@pytest.mark.parametrize("what", READS)
def test_what_was_read_is_an_input(lab: Lab, what: str) -> None:
    cells, files = READS[what]
    if what.startswith("a child's own") and sys.platform != "linux":
        pytest.skip("only Linux tells what children open")
    notebook = Notebook(cells, files=FILES)
    lab.check(notebook, skip=[0, 1, 2])
    result = lab.repeat(notebook, files=files)
    assert result.problems(execute=[0, 1]) == [], result.actions


@pytest.mark.parametrize("what", WRITES)
def test_what_was_written_is_there(lab: Lab, what: str) -> None:
    cells, edited = WRITES[what]
    notebook = Notebook(cells, files=FILES)
    lab.audit(notebook)
    runs_again = [0] if what == "a log file" else []
    result = lab.repeat(notebook, {2: edited})
    assert result.problems(skip=[i for i in (0, 1) if i not in runs_again], execute=[2]) == [], result.actions


def test_an_edited_writer_starts_from_what_was_there_before(lab: Lab) -> None:
    lab.check(Notebook([CONNECT.format(1), "x=1", SELECT]), {0: CONNECT.format(2)}, execute=[0, 2], skip=[1])


def test_two_names_of_a_closed_connection_and_its_rows_share_as_before(lab: Lab) -> None:
    lab.check(Notebook([CONNECT.format(1), "x=1", SELECT]), skip=[0, 1, 2])


SCRIPT = "%%bash\nmkdir -p out/sub\necho 1 >> z.txt\nrm y.txt"


def test_what_a_script_made_and_removed_is_restored(lab: Lab) -> None:
    lab.check(
        Notebook([SCRIPT, "x=1"], files={"y.txt": "7", "z.txt": "0"}),
        {1: "import os\nx=sorted(n for n in os.listdir('.') if n[0]!='.')+os.listdir('out')"},
        skip=[0],
        execute=[1],
    )


def test_a_script_that_runs_again_meets_what_it_met_before(lab: Lab) -> None:
    lab.check(
        Notebook(["x=1", SCRIPT], files={"y.txt": "7", "z.txt": "0"}),
        {1: "%%bash\nls\ncat y.txt z.txt\n" + SCRIPT.partition("\n")[2]},
        skip=[0],
        execute=[1],
    )


def test_what_a_script_appends_to_is_an_input(lab: Lab) -> None:
    lab.check(
        Notebook(["open('z.txt','w').write('a')", "!echo 1 >> z.txt", "t=open('z.txt').read()"]),
        {0: "open('z.txt','w').write('b')"},
        execute=[0, 1, 2],
        expect=["t=='b1\\n'"],
    )


def test_threads_that_run_nothing_of_the_notebook_count(lab: Lab) -> None:
    lab.check(
        Notebook(
            [
                "import os, shutil, threading\nfrom concurrent.futures import ThreadPoolExecutor",
                "with ThreadPoolExecutor(1) as pool:\n    pool.submit(shutil.copy,'in.txt','b.txt').result()",
                "t=threading.Thread(target=shutil.copy,args=('in.txt','c.txt'))\nt.start()\nt.join()",
                "x=1",
            ],
            files={"in.txt": "7"},
        ),
        {3: "x=open('b.txt').read()+open('c.txt').read()\nos.remove('b.txt')"},
        skip=[1, 2],
        execute=[3],
    )


def test_what_a_child_changed_in_a_large_file_is_told(lab: Lab) -> None:
    notebook = Notebook(["x=1", "!echo 1 >> big.bin"], files={"big.bin": "0" * (1 << 21)})
    result = lab.audit(notebook)
    assert any("what big.bin held before is not known" in warning for warning in result.warnings)
