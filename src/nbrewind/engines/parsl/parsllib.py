"""Parsl's names that we touch, without types: private parts change theirs between releases."""

from __future__ import annotations

from typing import Any

import parsl as _parsl
from parsl.app import app as _app
from parsl.app import errors as _errors
from parsl.app import futures as _data_futures
from parsl.data_provider import files as _files
from parsl.dataflow import dflow as _dflow
from parsl.dataflow import futures as _futures
from parsl.dataflow import states as _states
from parsl.executors import base as _executors
from parsl.executors import threads as _threads
from parsl.utils import RepresentationMixin as _RepresentationMixin

AUTO_LOGNAME: Any = _parsl.AUTO_LOGNAME
AppBase: Any = _app.AppBase
AppFuture: Any = _futures.AppFuture
Config: Any = _parsl.Config
DataFlowKernel: Any = _dflow.DataFlowKernel
DataFuture: Any = _data_futures.DataFuture
File: Any = _files.File
Loader: Any = _dflow.DataFlowKernelLoader
ParslExecutor: Any = _executors.ParslExecutor
RemoteExceptionWrapper: Any = _errors.RemoteExceptionWrapper
RepresentationMixin: Any = _RepresentationMixin
ThreadPoolExecutor: Any = _threads.ThreadPoolExecutor
dataflow: Any = _dflow
States: Any = _states.States
