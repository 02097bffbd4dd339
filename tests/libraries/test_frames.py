"""pandas, polars, pyarrow and NumPy's subclasses: tables, what they are indexed by, and whose memory they lie on."""

from __future__ import annotations

import pytest

from libraries.life import Life, live
from support.notebooks import Lab

PANDAS = Life(
    make="import pandas as pd\nimport numpy as np\n"
    "df = pd.DataFrame({'a': [1.0, 2.0, 3.0], 'k': pd.Categorical(['x', 'y', 'x'], ['y', 'x'], ordered=True),\n"
    "    'n': pd.array([1, None, 3], dtype='Int64'), 's': pd.array(['p', None, 'q'], dtype='string'),\n"
    "    'w': pd.Series([1, None, 3], dtype='int64[pyarrow]'),\n"
    "    't': pd.date_range('2024-03-30', periods=3, tz='Europe/Berlin')},\n"
    "    index=pd.MultiIndex.from_tuples([(1, 'a'), (1, 'b'), (2, 'a')], names=['i', 'j']))\n"
    "df.attrs['unit'] = {'a': 'm'}\nunit = df.attrs['unit']\ng = df.groupby('k', observed=True)\ncol = df['a']",
    change="df.loc[(1, 'b'), 'a'] = 20.0\ndf.loc[(2, 'a'), 'n'] = pd.NA\nunit['a'] = 'km'\ndf.index.names = ['u', 'v']\n"
    "df.iloc[0, 3] = 'P'",
    look="print(df, df.dtypes, df.attrs, col.tolist(), g['a'].sum(), df.index.names, df['k'].cat.categories)",
    other_change="df.loc[(1, 'b'), 'a'] = 30.0\ndf['k'] = df['k'].cat.rename_categories(['Y', 'X'])\nunit['b'] = 's'",
    other_look="unit['z'] = 1\ndf.iloc[0, 0] = 9.0\nprint(df, df.attrs, col.tolist(), g['a'].sum(), df['t'].dt.tz, df['w'].sum())",
)

POLARS = Life(
    make="import polars as pl\nfrom decimal import Decimal\n"
    "df = pl.DataFrame({'a': [1, 2, 3], 'b': ['x', None, 'z'], 'c': [[1], [], [2, 3]], 'd': [Decimal('1.5')] * 3, 'e': [True, None, False]})\n"
    "s = pl.Series('s', [1.5, None, 3.0])\nlazy = df.lazy().filter(pl.col('a') > 1)\ne = pl.col('a') * 2",
    change="df[0, 'a'] = 9\ns[1] = 2.0\ndf.insert_column(0, s.alias('first'))",
    look="print(df, s, lazy.collect(), df.select(e), df.schema)",
    other_change="df[0, 'a'] = 8\ns[0] = 7.0",
    other_look="df[2, 'a'] = -1\ns.append(pl.Series([4.0]))\nprint(df, s, lazy.collect(), df.select(e))",
)

LENT = Life(
    make="import numpy as np\nimport polars as pl\nn = np.arange(4.0)\ns = pl.Series('s', n)\nv = s.to_numpy()",
    change="n[0] = 9",
    look="print(s[0], v[0], n)",
    other_change="n[1] = 8",
    other_look="n[3] = 7\nprint(s.to_list(), v, n)",
    because="shares memory with an array",
)

ARROW = Life(
    make="import pyarrow as pa\nt = pa.table({'a': [1, 2, 3], 'b': ['x', None, 'z']}).replace_schema_metadata({'k': 'v'})\n"
    "a = pa.chunked_array([[1], [2, 3]])\nd = {'t': t, 'schema': t.schema}",
    change="d['t'] = d['t'].append_column('c', a)\nd['part'] = d['t'].slice(1, 1)",
    look="print(d['t'], d['schema'], d['part'], a.num_chunks, t.schema.metadata)",
    other_change="d['t'] = d['t'].drop_columns(['a'])\nd['part'] = a",
    other_look="print(d['t'] is t, d['schema'].equals(t.schema), d['part'].to_pylist(), a, t)",
)

ARROW_LENT = Life(
    make="import pandas as pd\nimport pyarrow as pa\ndf = pd.DataFrame({'a': [1.0, 2.0]})\nt = pa.Table.from_pandas(df)",
    change="df.loc[0, 'a'] = 7.0",
    look="print(t['a'][0], df)",
    other_change="df.loc[1, 'a'] = 8.0",
    other_look="df.iloc[1, 0] = 5.0\nprint(t['a'], df)",
    because="shares memory with an array",
)

SUBCLASSES = Life(
    make="import numpy as np\nbase = np.arange(4.0)\nm = np.ma.MaskedArray(base, mask=[0, 1, 0, 0], copy=False)\n"
    "names = np.char.array(['a', 'b'])\nwide = np.matrix([[1, 2]]) * 2\nrec = np.rec.array([(1, 2.0)], dtype=[('x', 'i4'), ('y', 'f8')])\n"
    "both = np.ma.array([1, 'q', None], mask=[1, 0, 0], dtype=object)\nnothing = np.ma.masked",
    change="m[2] = np.ma.masked\nbase[0] = 5\nnames[0] = 'z'\nrec.x[0] = 3\nwide[0, 0] = 7",
    look="print(m, m.fill_value, base, names, wide, rec, both, nothing is np.ma.masked)",
    other_change="m.mask[0] = True\nm[3] = 8\nboth[0] = 4",
    other_look="base[3] = 1\nm[0] = 2\nnames[1] = 'y'\nboth[1] = np.ma.masked\nprint(m, base, names, wide + 1, rec.y, both)",
)

LIVES = {
    "pandas": PANDAS,
    "polars": POLARS,
    "polars over numpy": LENT,
    "pyarrow": ARROW,
    "pyarrow over pandas": ARROW_LENT,
    "numpy subclasses": SUBCLASSES,
}


@pytest.mark.parametrize("name", LIVES)
def test_life(lab: Lab, name: str) -> None:
    pytest.importorskip(name.partition(" ")[0], reason=f"{name.partition(' ')[0]} is not installed")
    live(lab, LIVES[name])
