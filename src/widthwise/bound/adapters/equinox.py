"""Equinox modules: taps in place of their linear layers, or one layer left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from widthwise.bound.adapters.layer import PAIR, LastLayer, follows, in_batches, linear_readout, numpy, precise
from widthwise.errors import InputError, unknown_name


def fetch(model: Any, X: Any, *, layer: str | None, batch_size: int) -> LastLayer:
    """From the input of the last eqx.nn.Linear that runs, or of the one at `layer`, such as "layers[2]".

    A module of one example is mapped over the batch; one that maps by itself cannot be tapped, and the layer is taken
    of which the predictions are the output.
    """
    import equinox as eqx
    import jax

    _without_state(model)
    model, linear = eqx.nn.inference_mode(model), _linear_layers(model)
    if layer is not None and layer not in linear:
        raise unknown_name("layer", layer, linear)
    if not linear:
        raise InputError(f"model: expected an Equinox module with an eqx.nn.Linear, got one without; {PAIR}.")
    names = list(linear) if layer is None else [layer]
    dtype, inputs = linear[names[0]].weight.dtype, np.asarray(X)
    inputs = inputs.astype(dtype) if np.issubdtype(inputs.dtype, np.floating) else inputs
    few = jax.numpy.asarray(inputs[: min(len(inputs), batch_size)])
    eps = float(jax.numpy.finfo(dtype).eps)
    with jax.disable_jit():  # a tap inside somebody's jit would leak
        one = _refusal(jax.vmap(model), few)
        if one is None:
            run, ran = _tapped(model, names)
        elif _refusal(model, few) is None:
            run, ran = _left_out(model, names, linear, few, eps)
        else:
            raise InputError(f"X: expected inputs that the module takes, got shape {inputs.shape} ({one}); reshape X.")
        features, output, predictions = in_batches(lambda x: run(jax.numpy.asarray(x)), inputs, batch_size)
    return linear_readout(
        features, output, predictions, bias=linear[ran[-1]].bias is not None, eps=eps, name=repr(ran[-1]),
        remedy=f"name another layer=…, or {PAIR}",
    )  # fmt: skip


def _without_state(model: Any) -> None:
    from equinox.nn import Sequential, StatefulLayer
    from jax.tree_util import tree_leaves

    def stateful(part: Any) -> bool:
        return isinstance(part, StatefulLayer) and not isinstance(part, Sequential) and part.is_stateful()

    names = {type(part).__name__ for part in tree_leaves(model, is_leaf=stateful) if stateful(part)}
    if names:
        raise InputError(
            f"model: expected an Equinox module without state, got one with {', '.join(sorted(names))}, which is "
            f"called with a state too; {PAIR}."
        )


def _linear_layers(model: Any) -> dict[str, Any]:
    """Path → layer, in the order of the tree."""
    from equinox.nn import Linear
    from jax.tree_util import keystr, tree_leaves_with_path

    leaves = tree_leaves_with_path(model, is_leaf=lambda leaf: isinstance(leaf, Linear))
    return {keystr(path).lstrip("."): leaf for path, leaf in leaves if isinstance(leaf, Linear)}


def _replaced(model: Any, names: list[str], make: Callable[[str, Any], Any]) -> Any:
    """The module with `make(name, layer)` in place of each of these linear layers."""
    from equinox.nn import Linear
    from jax.tree_util import keystr, tree_map_with_path

    def replace(path: Any, leaf: Any) -> Any:
        name = keystr(path).lstrip(".")
        return make(name, leaf) if isinstance(leaf, Linear) and name in names else leaf

    return tree_map_with_path(replace, model, is_leaf=lambda leaf: isinstance(leaf, Linear))


def _refusal(function: Callable[[Any], Any], x: Any) -> str | None:
    """Why a function does not take x; None if it does."""
    import jax

    try:
        found = jax.eval_shape(function, x)
    except Exception as error:  # the module's own code: it may raise anything
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None if hasattr(found, "shape") else f"it returns {type(found).__name__}, not one array"


def _tapped(model: Any, names: list[str]) -> tuple[Callable[[Any], Any], list[str]]:
    """Batch → (features, output, predictions) of the tapped layer that ran last, and a list that its name is put in."""
    import jax

    seen: list[tuple[Any, Any]] = []
    ran: list[str] = []

    def tap(name: str, linear: Any) -> Callable[..., Any]:
        def call(x: Any, **more: Any) -> Any:
            output = linear(x, **more)
            seen.append((x, output))
            ran.append(name)
            return output

        return call

    tapped = _replaced(model, names, tap)

    def one(x: Any) -> tuple[Any, Any, Any]:
        predictions = tapped(x)
        if not seen:
            raise InputError(f"model: expected one of {', '.join(names)} to run, got none; {PAIR}.")
        return *seen[-1], predictions

    return jax.vmap(one), ran


def _left_out(
    model: Any, names: list[str], linear: dict[str, Any], few: Any, eps: float
) -> tuple[Callable[[Any], Any], list[str]]:
    """The same of a module that maps over the batch by itself: without the readout, it returns the features."""
    predictions = numpy(model(few))
    for name in reversed(names):
        bare = _replaced(model, [name], lambda _name, _layer: lambda x, **_: x)
        if _refusal(bare, few) is not None:
            continue
        features, readout = numpy(bare(few)), _affine(linear[name])
        if features.ndim != 2 or features.shape[1] != linear[name].weight.shape[1]:
            continue
        if follows(readout(features), predictions, precise(eps)) is not None:
            return partial(_both, model, bare, readout), [name]
    raise InputError(
        f"model: expected predictions that are the output of one of {', '.join(names)}, got others (a softmax after "
        f"it?): the bound is for a linear readout and quadratic loss; {PAIR}."
    )


def _both(model: Any, bare: Any, readout: Callable[[np.ndarray], np.ndarray], x: Any) -> tuple[Any, Any, Any]:
    features = bare(x)
    return features, readout(numpy(features)), model(x)


def _affine(linear: Any) -> Callable[[np.ndarray], np.ndarray]:
    W = numpy(linear.weight)
    b = 0.0 if linear.bias is None else numpy(linear.bias)
    return lambda features: features @ W.T + b
