"""Dask's names that we touch, without types: private parts change theirs between releases."""

from __future__ import annotations

from typing import Any

import dask as _dask
import distributed.client as _client
import distributed.worker as _worker
from dask import _expr as _expressions
from dask import highlevelgraph as _highlevel
from distributed import utils as _utils
from distributed import utils_comm as _utils_comm
from distributed.deploy import cluster as _cluster

dask: Any = _dask
client: Any = _client
Client: Any = _client.Client
Future: Any = _client.Future
as_completed: Any = _client.as_completed
Cluster: Any = _cluster.Cluster
LLGExpr: Any = _expressions.LLGExpr
HLGExpr: Any = _expressions.HLGExpr
HighLevelGraph: Any = _highlevel.HighLevelGraph
MaterializedLayer: Any = _highlevel.MaterializedLayer
thread_state: Any = vars(_worker)["thread_state"]
sync: Any = _utils.sync
pack_data: Any = _utils_comm.pack_data
unpack_remotedata: Any = _utils_comm.unpack_remotedata
