"""One graph on its way: what of it was sent, what waits, and what must be kept alive meanwhile."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dask._task_spec import DataNode, Task

from nbrewind.engines.dask import record
from nbrewind.engines.dask.dasklib import (
    Client,
    Future,
    HighLevelGraph,
    HLGExpr,
    LLGExpr,
    MaterializedLayer,
    dask,
)
from nbrewind.engines.dask.graph import Item, Key
from nbrewind.flow.code import hash_parts
from nbrewind.tasks import worker

if TYPE_CHECKING:
    from nbrewind.engines.dask.runtime import Runtime


class Originals:
    """The engine's own methods, as they were before they were hooked."""

    graph_to_futures: Any = Client._graph_to_futures
    gather: Any = Client._gather


class Job:
    """One graph on its way: knows which part of it to send for given items."""

    def __init__(
        self,
        runtime: Runtime,
        order: list[Item],
        wanted: set[Key],
        annotations: dict[str, dict[Key, Any]],
        options: dict[str, Any],
        context: dict[str, Any],
    ) -> None:
        self.runtime = runtime
        self.wanted = wanted
        self.annotations = annotations
        self.options = options
        self.surrounding = context
        self.members = set(order)
        self.open = {item for item in order if item.fate == "deferred"}
        """Items that are to be served or sent later."""
        self.left = {item for item in order if item.recorded and item.fate in ("run", "plain", "deferred")}
        """Items that are not settled."""
        client = runtime.client
        keys = {dep.key for item in self.left for dep in item.closure() if dep not in self.members}
        self.held: list[Any] = [Future(key, client) for key in keys if key in client.futures]
        self.pins: dict[Key, Any] = {}
        self._identity = uuid.uuid4().hex
        self._count = 0

    def settle(self, item: Item) -> None:
        """A deferred item was served, sent or dropped."""
        self.open.discard(item)
        item.decided.set()
        self.drop_unneeded()

    def done(self, item: Item) -> None:
        """An item is settled."""
        self.left.discard(item)
        self.drop_unneeded()

    def drop_unneeded(self) -> None:
        """Let go of futures that nothing of this graph needs any more."""
        if not self.left:
            self.held.clear()
            self.pins.clear()

    def alive(self) -> bool:
        """Whether a future of the graph is still held by somebody."""
        states = (self.runtime.client.futures.get(key) for key in self.wanted)
        return any(state is not None and state.status != "cancelled" for state in states)

    def send(self, items: list[Item]) -> None:
        """Send the items with all nodes below them that are not served."""
        graph: dict[Key, Any] = {}
        extra = 0
        stack = list(items)
        while stack:
            item = stack.pop()
            if item.key in graph or item.spec is None:
                continue
            graph[item.key] = None
            renamed = {}
            for dep in item.deps:
                if dep.fate == "served" and dep.entry is not None:
                    name = f"nbrewind-{hash_parts(dep.entry.result)}"
                    if name not in graph:
                        graph[name] = DataNode(name, record.value(self.runtime.context, dep))
                        extra += dep_size(self.runtime, dep)
                    renamed[dep.key] = name
                elif dep.fate in ("glue", "data") or not dep.sent:
                    stack.append(dep)
            graph[item.key] = self._wrapped(item, item.spec.substitute(renamed) if renamed else item.spec)
            item.sent = True
        client = self.runtime.client
        keys = [item.key for item in items]
        for key in keys:
            if key not in self.wanted:
                self.pins[key] = Future(key, client)
        options = dict(self.options)
        priority = options.get("internal_priority")
        if priority is not None:
            options["internal_priority"] = {key: priority.get(key, 0) for key in graph}
        with dask.annotate(**self.surrounding), _room(extra):
            futures: dict[Key, Any] = Originals.graph_to_futures(
                client, self._expression(graph), keys, **options
            )
        # The engine made futures of its own for these keys; ours or the user's hold them.
        futures.clear()

    def _wrapped(self, item: Item, spec: Any) -> Any:
        # Tasks of the engine's own that have inputs may write: `to_parquet` of a frame.
        if type(spec) is not Task or item.fate == "plain":
            return spec
        self._count += 1
        item.ident = f"{self._identity}-{self._count}"
        return Task(
            spec.key,
            worker.Traced(spec.func, item.ident),
            *spec.args,
            _data_producer=spec.data_producer,
            **spec.kwargs,
        )

    def _expression(self, graph: dict[Key, Any]) -> Any:
        per_key: dict[Key, dict[str, Any]] = {}
        for kind, values in self.annotations.items():
            for key, value in values.items():
                if key in graph:
                    per_key.setdefault(key, {})[kind] = value
        if not per_key:
            return LLGExpr(graph, _determ_token=uuid.uuid4().hex)
        layers = {str(key): MaterializedLayer({key: graph[key]}, annotations=per_key[key]) for key in per_key}
        rest = {key: spec for key, spec in graph.items() if key not in per_key}
        layers["nbrewind-rest"] = MaterializedLayer(rest)
        dependencies: dict[str, set[str]] = {name: set() for name in layers}
        return HLGExpr(dsk=HighLevelGraph(layers, dependencies), output_keys=list(graph))


def dep_size(runtime: Runtime, item: Item) -> int:
    """Stored bytes of a served result."""
    return len(runtime.context.store.get(item.entry.result)) if item.entry is not None else 0


@contextlib.contextmanager
def _room(extra: int) -> Iterator[None]:
    """Served values inside a graph are ours, not the user's: no warning about its size.

    By the engine's own setting: the filters of warnings belong to the cell that runs meanwhile.
    """
    if not extra:
        yield
        return
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": sys.maxsize}):
        yield
