"""Models, graphs, formulas and labelled arrays."""

from __future__ import annotations

import pytest

from libraries.life import Life, live
from support.notebooks import Lab, Notebook

SKLEARN = Life(
    make="import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier\nfrom sklearn.linear_model import SGDClassifier\n"
    "from sklearn.neighbors import KNeighborsClassifier\nfrom sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n"
    "X = np.random.RandomState(0).rand(40, 3)\ny = (X[:, 0] > 0.5).astype(int)\n"
    "forest = RandomForestClassifier(3, random_state=0).fit(X, y)\nnear = KNeighborsClassifier().fit(X, y)\n"
    "sgd = SGDClassifier(random_state=np.random.RandomState(1))\npipe = make_pipeline(StandardScaler(), sgd).fit(X, y)",
    change="sgd.partial_fit(X, 1 - y)\nforest.set_params(n_estimators=5, warm_start=True).fit(X, y)",
    look="print(forest.predict_proba(X)[:3], near.predict(X)[:5], pipe[-1] is sgd, sgd.coef_, len(forest.estimators_))",
    other_change="sgd.partial_fit(X[:5], y[:5])",
    other_look="sgd.coef_[0, 0] = 3\nsgd.partial_fit(X, y)\nprint(pipe.decision_function(X)[:3], sgd.coef_, near.kneighbors(X[:2]), forest.predict(X)[:9])",
)

NETWORKX = Life(
    make="import networkx as nx\nG = nx.DiGraph(name='g')\nG.add_edge(1, 2, w=[1])\nG.add_edge(2, 'x')\nw = G[1][2]['w']\nview = G.subgraph([1, 2])\n"
    "G.graph['self'] = G\nnodes = G.nodes",
    change="w.append(2)\nG.add_edge('x', 1, w=w)",
    look="print(list(G.edges(data=True)), list(view.edges), list(nx.simple_cycles(G)), list(nodes), G.graph['self'] is G)",
    other_change="G.remove_edge(2, 'x')",
    other_look="w.append(3)\nG.add_node('new')\nG['x'][1]['w'].append(4)\nprint(list(G.edges(data=True)), dict(view[1]), list(nodes), list(G.pred[1]))",
)

SYMPY = Life(
    make="import sympy as sp\nx = sp.Symbol('x')\np = sp.Symbol('x', positive=True)\nf = sp.Function('f')\nh = sp.Function('h', real=True)\n"
    "held = sp.Add(1, 2, evaluate=False)\nexprs = [x**2 + sp.sin(p), f(x), sp.pi, sp.S.One, sp.oo, h(x) + held, sp.Rational(1, 3), sp.Float('1.5', 30)]\n"
    "M = sp.Matrix([[x, 1], [2, p]])",
    change="exprs.append(exprs[0].diff(x))\nM[0, 0] = p * x",
    look="print([sp.srepr(e) for e in exprs], M, x == p, held)",
    other_change="exprs.append(sp.Eq(f(x).diff(x), f(x)))\nM[1, 0] = f(x)",
    other_look="M[0, 1] = 0\nprint(sp.Symbol('x') is x, exprs[2] is sp.pi, exprs[3] is sp.S.One, f(x) == exprs[1], f == sp.Function('f'),\n"
    "    M.det(), exprs[0].subs(x, 2), p.is_positive, held, h(x).is_real, sp.Symbol('x', positive=True) is p)",
)

XARRAY = Life(
    make="import numpy as np\nimport pandas as pd\nimport xarray as xr\nraw = np.arange(6.0).reshape(2, 3)\n"
    "da = xr.DataArray(raw, dims=('a', 'b'), coords={'a': [1, 2], 'b': pd.date_range('2020', periods=3)}, name='v', attrs={'u': 'm'})\n"
    "ds = xr.Dataset({'v': da, 'w': ('a', [5, 6])}, attrs={'k': 1})\nv = ds.v",
    change="raw[0, 0] = 9\nds['w'][0] = 7\nds.attrs['k'] = 2\nv.attrs['u'] = 'km'",
    look="print(da, ds, v.sum().item(), ds.v.attrs)",
    other_change="ds['x'] = ds.v * 2\nda.loc[{'a': 1}] = 0",
    other_look="raw[1, 1] = -1\nds.v[0, 2] = 4\nprint(da.values, ds.v.values, v.values, ds.sel(a=1).w.item(), ds.groupby('a').sum(), da.attrs)",
)

XARRAY_FILE = Life(
    make="import numpy as np\nimport xarray as xr\nxr.Dataset({'v': ('a', np.arange(4.0))}).to_netcdf('d.nc', engine='scipy')\n"
    "ds = xr.open_dataset('d.nc', engine='scipy')\nloaded = xr.open_dataset('d.nc', engine='scipy').load()",
    change="ds.attrs['seen'] = 1\nloaded.v[0] = 5",
    look="print(ds.v.values, ds.attrs, loaded.v.values)",
    other_change="ds.attrs['seen'] = 2",
    other_look="print(ds.v.sum().item(), loaded.v.values, ds.attrs)",
    because="read from an open file",
)

TORCH = Life(
    make="import torch\ntorch.manual_seed(0)\nt = torch.arange(6.0)\nrow = t[1:3]\ngrid = t.view(2, 3)\n"
    "net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))\n"
    "opt = torch.optim.Adam(net.parameters())\nplan = torch.optim.lr_scheduler.StepLR(opt, 1)\ngen = torch.Generator().manual_seed(3)\nweight = net[0].weight",
    change="t[1] = 9\nopt.zero_grad()\nnet(torch.rand(4, 2)).sum().backward()\nopt.step()\nplan.step()\ndraw = torch.rand(2, generator=gen)",
    look="print(t, row, grid, weight, weight.grad, net.training, opt.param_groups[0]['lr'], draw, torch.rand(2))",
    other_change="row[0] = 4\nopt.step()\nnet.eval()\ndraw = torch.rand(3)",
    other_look="grid[0, 2] = -5\nopt.zero_grad()\nnet(torch.ones(3, 2)).sum().backward()\nopt.step()\nplan.step()\n"
    "print(t, row, weight is opt.param_groups[0]['params'][0], weight, opt.param_groups[0]['lr'], torch.rand(2, generator=gen), torch.rand(2))",
)

TORCH_GRAPH = Life(
    make="import numpy as np\nimport torch\nw = torch.ones(2, requires_grad=True)\nloss = (w * 3).sum()\nn = np.arange(3.0)\nt = torch.from_numpy(n)\nback = torch.zeros(2)\nseen = back.numpy()",
    change="n[0] = 5\nback[1] = 2",
    look="print(t, seen, loss.item())",
    other_change="t[1] = 6\nseen[0] = 1",
    other_look="loss.backward()\nn[2] = 7\nback[0] = 4\nprint(w.grad, t, seen)",
    because="remembers how it was computed",
)

LIVES = {
    "sklearn": SKLEARN,
    "networkx": NETWORKX,
    "sympy": SYMPY,
    "xarray": XARRAY,
    "xarray lazy": XARRAY_FILE,
    "torch": TORCH,
    "torch graph": TORCH_GRAPH,
}


@pytest.mark.parametrize("name", LIVES)
def test_life(lab: Lab, name: str) -> None:
    library = name.partition(" ")[0]
    pytest.importorskip(library, reason=f"{library} is not installed")
    live(lab, LIVES[name])


def test_backward_changes_what_its_graph_leads_to(lab: Lab) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    weights = "import torch\nw=torch.ones(3,requires_grad=True)"
    lab.check(
        Notebook([weights, "y=(w*2).sum()", "y.backward()", "r=w.grad.tolist()\ndel w,y"]),
        {2: "y.backward(torch.tensor(3.))"},
        skip=[0, 1],
        execute=[2, 3],
        expect=["r==[6.,6.,6.]"],
    )


def test_a_graph_that_backward_has_freed_leads_nowhere(lab: Lab) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    step = "loss=(w**2).sum()\nloss.backward()"
    audited = lab.audit(Notebook(["import torch\nw=torch.ones(3,requires_grad=True)", step]))
    assert [warning.partition(" cannot")[0] for warning in audited.warnings] == ["loss"]


def test_a_generator_over_a_view_of_a_tensor_follows_it(lab: Lab) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    lab.check(
        Notebook(
            [
                "import torch\nt=torch.arange(4.)\ng=(float(x) for x in t[1:])",
                "t[2]=100",
                "r=list(g)\ndel t,g",
            ]
        ),
        {1: "t[2]=200"},
        execute=[1, 2],
        expect=["r==[1.,200.,3.]"],
    )
