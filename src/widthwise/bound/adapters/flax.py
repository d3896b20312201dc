"""Flax: linen modules with their variables, by interception; nnx modules, by taps in a clone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from widthwise.bound.adapters.layer import PAIR, LastLayer, in_batches, linear_readout
from widthwise.errors import InputError, unknown_name

# how linen modules are told that they are in use, and not in training
_IN_USE = {"train": False, "training": False, "is_training": False, "deterministic": True, "use_running_average": True}


def fetch(model: Any, X: Any, *, layer: str | None, batch_size: int) -> LastLayer:
    """From the input of the last Dense or nnx.Linear that runs, or of the one at `layer`, such as "Dense_2"."""
    import jax
    from flax import linen

    seen: list[tuple[str, bool, Any, Any]] = []
    module, variables = model if isinstance(model, tuple | list) else (model, None)
    if isinstance(module, linen.Module):
        if variables is None:
            if module.scope is None:
                raise InputError(
                    f"model: expected a linen module with its variables, got {type(module).__name__} alone; pass "
                    "(module, variables)."
                )
            module, variables = module.unbind()
        network = _linen(module, variables, seen)
        dtypes = [leaf.dtype for leaf in jax.tree_util.tree_leaves(variables)]
    else:
        network, dtypes = _nnx(model, seen)
    dtype = next((d for d in dtypes if jax.numpy.issubdtype(d, jax.numpy.floating)), np.dtype(np.float32))
    inputs = np.asarray(X)
    inputs = inputs.astype(dtype) if np.issubdtype(inputs.dtype, np.floating) else inputs
    ran: dict[str, bool] = {}

    def run(batch: Any) -> tuple[Any, Any, Any]:
        seen.clear()
        predictions = network(jax.numpy.asarray(batch))
        ran.update({name: bias for name, bias, _, _ in seen})
        kept = [entry for entry in seen if layer in (None, entry[0])]
        if layer is not None and not kept:
            raise unknown_name("layer", layer, ran)
        if not kept:
            raise InputError(f"model: expected a linear layer (Dense, nnx.Linear) that runs, got none; {PAIR}.")
        if not hasattr(predictions, "shape"):
            raise InputError(f"model: expected one array of predictions, got {type(predictions).__name__}; {PAIR}.")
        return kept[-1][2], kept[-1][3], predictions

    try:
        with jax.disable_jit():  # what is seen inside somebody's jit would leak
            features, output, predictions = in_batches(run, inputs, batch_size)
    except InputError:
        raise
    except Exception as error:  # the module's own code: it may raise anything
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"X: expected inputs that the module takes, got shape {inputs.shape} ({said}); reshape X, or {PAIR}."
        ) from error
    name = next(entry[0] for entry in reversed(seen) if layer in (None, entry[0]))
    return linear_readout(
        features, output, predictions, bias=ran[name], eps=float(jax.numpy.finfo(dtype).eps), name=repr(name),
        remedy=f"name another layer=…, or {PAIR}",
    )  # fmt: skip


def _linen(module: Any, variables: Any, seen: list[Any]) -> Callable[[Any], Any]:
    from flax import linen

    asked = inspect.signature(type(module).__call__).parameters
    in_use = {name: value for name, value in _IN_USE.items() if name in asked}

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        if isinstance(context.module, linen.Dense) and context.method_name == "__call__":
            phi = args[0] if args else kwargs["inputs"]
            seen.append((".".join(context.module.path), bool(context.module.use_bias), phi, output))
        return output

    def network(x: Any) -> Any:
        with linen.intercept_methods(watch):
            return module.apply(variables, x, **in_use)

    return network


def _nnx(model: Any, seen: list[Any]) -> tuple[Callable[[Any], Any], list[Any]]:
    import jax
    from flax import nnx

    if not isinstance(model, nnx.Module):
        raise InputError(f"model: expected a Flax module, got {type(model).__name__}; {PAIR}.")

    class Tap(nnx.Linear):
        def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            output = super().__call__(inputs, *args, **kwargs)
            seen.append((names[id(self)], self.bias is not None, inputs, output))
            return output

    clone = nnx.clone(model)
    clone.eval()
    names = {}
    for path, part in nnx.iter_modules(clone):
        if type(part) is nnx.Linear:
            names[id(part)] = ".".join(map(str, path))
            part.__class__ = Tap
    return clone, [leaf.dtype for leaf in jax.tree_util.tree_leaves(nnx.state(clone, nnx.Param))]
