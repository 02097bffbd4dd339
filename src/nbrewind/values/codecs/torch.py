"""PyTorch on the CPU: tensors share storages, have gradients, and are views of each other."""

from __future__ import annotations

from typing import Any

import torch

from nbrewind.flow.codecs import Codec


class Storage(Codec):
    """Memory of tensors: its bytes."""

    name = "torch.UntypedStorage"
    types = (torch.UntypedStorage,)

    def cannot_store(self, value: Any) -> str:
        """Other devices' memory is theirs."""
        return "" if value.device.type == "cpu" else f"memory of {value.device}"

    def state(self, value: Any) -> Any:
        """The bytes, as an array that says by its address who else has them."""
        data = _bytes(value).numpy()
        data.flags.writeable = False
        return data

    def rebuild(self, cls: type, state: Any) -> Any:
        """Memory of torch's own, which can be resized."""
        made = torch.UntypedStorage(state.nbytes)
        if state.nbytes:
            _bytes(made).copy_(torch.from_numpy(state.copy()))  # torch warns of read-only arrays
        return made


def _bytes(storage: Any) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _behind_graph(node: Any) -> list[Any]:
    """Leaves and saved tensors of a graph, up to nodes that ``backward`` has freed: it fails there."""
    found: list[Any] = []
    seen: dict[Any, None] = {}
    queue = [] if node is None else [node]
    while queue:
        current = queue.pop()
        if current in seen:
            continue
        seen[current] = None
        names = [name for name in dir(current) if name.startswith("_saved_") or name == "saved_tensors"]
        try:
            saved = [getattr(current, name) for name in names]
        except RuntimeError:
            continue
        for value in [getattr(current, "variable", None), *saved]:
            found += value if isinstance(value, tuple) else [value]
        queue += [following for following, _ in current.next_functions if following is not None]
    return [value for value in found if isinstance(value, torch.Tensor)]


class Tensor(Codec):
    """Tensors and parameters: a window on a storage, and the gradient."""

    name = "torch.Tensor"
    types = (torch.Tensor,)
    subclasses = True

    def cannot_store(self, value: Any) -> str:
        """What torch computes with and does not show."""
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            return f"a tensor of the class {type(value).__name__}"
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            return f"a tensor that is {value.layout} on {value.device}"
        if value.grad_fn is not None:
            return "a tensor that remembers how it was computed"
        if value.is_conj() or value.is_neg() or value._backward_hooks:
            return "a tensor with hooks or a pending conjugation"
        return ""

    def state(self, value: Any) -> Any:
        """Storage, window, gradient, attributes."""
        window = (value.storage_offset(), tuple(value.size()), value.stride())
        return (
            value.untyped_storage(),
            value.dtype,
            window,
            value.requires_grad,
            value.grad,
            dict(vars(value)),
        )

    def untold(self, value: Any) -> Any:
        """The storage, which views share; the gradient; what ``backward`` would read and change."""
        found = [value.untyped_storage()] if value.layout == torch.strided else []
        if value.is_leaf and value.grad is not None:
            found.append(value.grad)
        return found + _behind_graph(value.grad_fn)

    def rebuild(self, cls: type, state: Any) -> Any:
        """The window again."""
        storage, dtype, window, requires_grad, grad, attributes = state
        made = torch.empty(0, dtype=dtype).set_(storage, *window)
        if cls is torch.nn.Parameter:
            made = torch.nn.Parameter(made, requires_grad)
        else:
            made.requires_grad_(requires_grad)
        if grad is not None:
            made.grad = grad
        vars(made).update(attributes)
        return made


class Optimizer(Codec):
    """Optimizers, with what schedulers put around their step: pickling drops it."""

    name = "torch.Optimizer"
    types = (torch.optim.Optimizer,)
    subclasses = True

    def state(self, value: Any) -> Any:
        """All attributes."""
        return dict(vars(value))

    def fill(self, value: Any, state: Any) -> None:
        """Set the attributes, and the hooks around the class's step."""
        vars(value).update(state)
        value._patch_step_function()


class Generator(Codec):
    """Generators by their state."""

    name = "torch.Generator"
    types = (torch.Generator,)

    def cannot_store(self, value: Any) -> str:
        """The one of the process is an ambient item."""
        return "torch's own generator" if value is torch.default_generator else ""

    def state(self, value: Any) -> Any:
        """Device and state."""
        return str(value.device), value.get_state().numpy().copy()

    def rebuild(self, cls: type, state: Any) -> Any:
        """A generator in the same state."""
        device, data = state
        return torch.Generator(device).set_state(torch.from_numpy(data))


codecs = (Storage, Tensor, Optimizer, Generator)
