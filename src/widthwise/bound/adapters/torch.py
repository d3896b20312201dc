"""PyTorch modules, by a hook on whatever linear layer runs last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from widthwise.bound.adapters.layer import PAIR, LastLayer, in_batches, linear_readout
from widthwise.errors import InputError, unknown_name


def fetch(model: Any, X: Any, *, layer: str | None, batch_size: int) -> LastLayer:
    """From the input of the last nn.Linear that runs, or of the module called `layer` (as in named_modules)."""
    import torch

    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model: expected a torch.nn.Module, got {type(model).__name__}; {PAIR}.")
    parameters = list(model.parameters())
    if any(torch.nn.parameter.is_lazy(p) for p in parameters):
        raise InputError("model: expected initialised parameters, got lazy ones; call it once on a batch first.")
    watched = _watched(model, layer)
    numbers = [p for p in parameters if p.is_floating_point()]
    device, dtype = (numbers[0].device, numbers[0].dtype) if numbers else (torch.device("cpu"), torch.float32)
    integers = any(isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) for module in model.modules())
    seen: list[tuple[str, Any, Any]] = []

    def keep(name: str, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        phi = args[0] if args else kwargs["input"]
        seen.append((name, phi.clone(), output.clone()))  # an activation in place would write over them

    def run(batch: Any) -> tuple[Any, Any, Any]:
        given = batch if isinstance(batch, torch.Tensor) else torch.from_numpy(np.array(batch))
        whole = integers and not given.is_floating_point()
        seen.clear()
        predictions = model(given.to(device) if whole else given.to(device, dtype))
        if not seen:
            raise InputError(
                f"model: expected {'a linear layer' if layer is None else repr(layer)} that runs, got none that did; "
                f"name the readout by layer=…, or {PAIR}."
            )
        if not isinstance(predictions, torch.Tensor):
            raise InputError(
                f"model: expected one tensor of predictions, got {type(predictions).__name__}; wrap the module so "
                "that it returns the predictions alone."
            )
        return seen[-1][1], seen[-1][2], predictions

    with _hooks(watched, keep), _evaluated(model), torch.no_grad():
        try:
            features, output, predictions = in_batches(run, X, batch_size)
        except InputError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"X: expected inputs that the module takes, got shape {tuple(X.shape)} ({said}); reshape X."
            ) from error
    name = seen[-1][0]
    module = watched[name]
    return linear_readout(
        features, output, predictions, bias=getattr(module, "bias", None) is not None,
        eps=float(torch.finfo(dtype).eps), name=repr(name or type(module).__name__),
        remedy="pass the module without it (nn.Sequential(*layers)), or another layer=…",
    )  # fmt: skip


def _watched(model: Any, layer: str | None) -> dict[str, Any]:
    import torch

    modules = dict(model.named_modules())
    linear = {name: module for name, module in modules.items() if isinstance(module, torch.nn.Linear)}
    if layer is None:
        return linear
    if layer not in modules:
        raise unknown_name("layer", layer, linear or modules)
    if layer not in linear:
        raise InputError(
            f"layer: expected an nn.Linear ({', '.join(linear) or 'there is none'}), got {layer!r}, of type "
            f"{type(modules[layer]).__name__}; name the readout."
        )
    return {layer: linear[layer]}


@contextmanager
def _hooks(modules: dict[str, Any], keep: Any) -> Iterator[None]:
    """`keep(name, module, args, kwargs, output)` after every call; gone when the block ends, however it ends."""
    from functools import partial

    handles = [m.register_forward_hook(partial(keep, name), with_kwargs=True) for name, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluated(model: Any) -> Iterator[None]:
    """Evaluation mode; afterwards every module, for itself, is in the mode that it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
