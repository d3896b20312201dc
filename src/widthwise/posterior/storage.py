"""Posteriors on disk: one .npz with a JSON header, no pickles; the spectrum is made again when it is first needed."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from widthwise.actions import MonteCarlo
from widthwise.activations import Activation
from widthwise.errors import InputError
from widthwise.files import whole
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.posterior.cavity import CavityLaw
from widthwise.posterior.cavity_depth import CavityDepthLaw
from widthwise.posterior.cavity_outputs import CavityOutputsLaw
from widthwise.posterior.certificate import Certificate
from widthwise.posterior.engine import Engine
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.layers import LayersLaw
from widthwise.posterior.mixture import Mixture
from widthwise.posterior.outputs import OutputsLaw
from widthwise.posterior.patches import PatchLaw
from widthwise.posterior.scalar import ScalarLaw
from widthwise.posterior.sources import Inputs, Network, source_of

if TYPE_CHECKING:
    from widthwise.posterior.posterior import Posterior

FORMAT = "widthwise posterior 3"
_READ = (FORMAT, "widthwise posterior 2")  # which had one node of Q_1 … Q_L, (L,)
_OWN_FIELDS: dict[type, tuple[str, ...]] = {
    FullyConnected: ("widths", "closure"),
    Convolutional: ("channels", "patch", "stride", "padding", "readout"),
}


def save(posterior: Posterior, path: str | os.PathLike[str]) -> None:
    """Writes a posterior whole or not at all.

    Args:
        posterior: any.
        path: of the file; an existing one is replaced.
    """
    law = posterior.law
    header = {
        "format": FORMAT,
        "kind": law.kind,
        "network": _network_to_json(posterior.network),
        "temperature": posterior.temperature,
        "approximation": posterior.approximation,
        "exact": posterior.exact,
        "solver": law.solver,
        "certificate": dataclasses.asdict(posterior.certificate),
    }
    arrays = {"header": np.array(json.dumps(header)), "X": law.source.X, "y": law.targets, **law.arrays()}
    with whole(path) as file:
        np.savez(file, **arrays, allow_pickle=False)


def load(path: str | os.PathLike[str], *, activation: Activation | Callable[[Any], Any] | None = None) -> Posterior:
    """Reads a posterior that `posterior.save` wrote.

    Args:
        path: of the file.
        activation: φ again, where it was a callable of the user's own (code is not stored).

    Raises:
        InputError: no such file, not a posterior, truncated, or a callable activation that was not passed.
    """
    from widthwise.posterior.posterior import Posterior

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] not in _READ:
            raise InputError(f"{path}: expected {FORMAT!r}, got {header['format']!r}; save it again with this version.")
        network = _network_from_json(header["network"], activation, path)
        found = header["certificate"]
        found["hessian"] = tuple(found["hessian"])
        found["stationary_points"] = tuple((q, s, kind) for q, s, kind in found["stationary_points"])
        certificate = Certificate(**found)
        law = _law(network, header, arrays)
    except FileNotFoundError:
        raise InputError(f"{path}: expected a saved posterior, got no such file; check the path.") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(
            f"{path}: expected a saved posterior, got an unreadable file ({fault}); save it again."
        ) from None
    return Posterior(network, header["temperature"], header["approximation"], certificate, header["exact"], law)


def _law(network: Network, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> AbstractLaw:
    """The law of the order parameters that a file holds; what was computed is made again when it is first needed."""
    from widthwise.posterior.infer import make_spectrum

    T, y, kind = header["temperature"], arrays["y"], header["kind"]
    source = source_of(network, arrays["X"], copies=3)
    if kind == "patches":
        above = tuple(arrays[f"Q_{k}"] for k in range(2, network.depth + 1))
        return PatchLaw.of(source, y, T, arrays["Q"], arrays["weights"], _monte_carlo(arrays), above)
    if isinstance(source, Inputs) and kind == "layers":
        Q, weights = np.atleast_2d(arrays["Q"]), arrays.get("weights", np.ones(1))
        how = _monte_carlo(arrays) if "monte_carlo" in arrays else MonteCarlo()
        return LayersLaw(source, y, T, Q, weights, how)
    mean = source.training().mean if "c" in arrays else None
    engine = Engine(source, y, lambda: make_spectrum(source.training(), y, header["solver"]), mean)
    for cavity in (CavityLaw, CavityOutputsLaw, CavityDepthLaw):
        if kind == cavity.kind:
            return cavity.of_arrays(engine, T, arrays)
    if kind == "outputs":
        return OutputsLaw(engine, T, arrays["layers"], arrays["weights"], _monte_carlo(arrays))
    return ScalarLaw(engine, T, Mixture(arrays["Q"], arrays["weights"], arrays["layers"], arrays.get("c")))


def _monte_carlo(arrays: dict[str, np.ndarray]) -> MonteCarlo:
    return MonteCarlo(*(int(number) for number in arrays["monte_carlo"]))


def _network_to_json(network: Network) -> dict[str, Any]:
    if isinstance(network, PrecomputedKernel):
        return {"kind": "PrecomputedKernel", "widths": network.widths}
    shared = {
        "kind": type(network).__name__,
        "activation": network.phi.name if network.phi.builtin else None,
        "callable": None if network.phi.builtin else network.phi.name,
        "weight_precisions": network.weight_precisions,
        "bias_variance": network.bias_variances,
    }
    names = _OWN_FIELDS[type(network)]
    return shared | {name: getattr(network, name) for name in names}


def _network_from_json(spec: dict[str, Any], activation: Any, path: Any) -> Network:
    if spec["kind"] == "PrecomputedKernel":
        return PrecomputedKernel(spec["widths"])
    if activation is not None and spec["activation"] is not None:
        raise InputError(
            f"{path}: expected no activation, got one; this posterior's own is {spec['activation']!r}: leave it out."
        )
    phi = spec["activation"] if activation is None else activation
    if phi is None:
        raise InputError(
            f"{path}: expected the activation {spec['callable']!r}, which is a function of yours and not stored; "
            "pass it: load(path, activation=...)."
        )
    described: type[FullyConnected] | type[Convolutional] = (
        Convolutional if spec["kind"] == "Convolutional" else FullyConnected
    )
    return described(
        activation=phi,
        weight_precisions=tuple(spec["weight_precisions"]),
        bias_variance=tuple(spec["bias_variance"]),
        **{name: spec[name] for name in _OWN_FIELDS[described]},
    )
