"""Posteriors on disk: one .npz with a JSON header, no pickles; the spectrum is made again when it is first needed."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from widthwise.activations import Activation
from widthwise.errors import InputError
from widthwise.files import whole
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.posterior.certificate import Certificate
from widthwise.posterior.engine import Engine, Network
from widthwise.posterior.mixture import Mixture

if TYPE_CHECKING:
    from widthwise.posterior.posterior import Posterior

FORMAT = "widthwise posterior 1"


def save(posterior: Posterior, path: str | os.PathLike[str]) -> None:
    """Writes a posterior whole or not at all.

    Args:
        posterior: any.
        path: of the file; an existing one is replaced.
    """
    engine, mixture = posterior.engine, posterior.mixture
    header = {
        "format": FORMAT,
        "network": _network_to_json(posterior.network),
        "temperature": posterior.temperature,
        "approximation": posterior.approximation,
        "exact": posterior.exact,
        "solver": engine.spectrum.kind,
        "certificate": dataclasses.asdict(posterior.certificate),
    }
    arrays = {
        "header": np.array(json.dumps(header)),
        "X": engine.X,
        "y": engine.y,
        "Q": mixture.Q,
        "weights": mixture.weights,
        "layers": mixture.layers,
    }
    if mixture.c is not None:
        arrays["c"] = mixture.c
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
    from widthwise.posterior.infer import make_spectrum
    from widthwise.posterior.posterior import Posterior
    from widthwise.posterior.prepare import training

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != FORMAT:
            raise InputError(f"{path}: expected {FORMAT!r}, got {header['format']!r}; save it again with this version.")
        network = _network_from_json(header["network"], activation, path)
        found = header["certificate"]
        found["hessian"] = tuple(found["hessian"])
        found["stationary_points"] = tuple((q, s, kind) for q, s, kind in found["stationary_points"])
        certificate = Certificate(**found)
        X, y = arrays["X"], arrays["y"]
        mixture = Mixture(arrays["Q"], arrays["weights"], arrays["layers"], arrays.get("c"))
        solver = header["solver"]
    except FileNotFoundError:
        raise InputError(f"{path}: expected a saved posterior, got no such file; check the path.") from None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(
            f"{path}: expected a saved posterior, got an unreadable file ({fault}); save it again."
        ) from None
    mean = None
    if mixture.c is not None:
        mean = training(network, X, copies=3)[1].mean
    engine = Engine(network, X, y, lambda: make_spectrum(training(network, X, copies=3)[1], y, solver), mean)
    return Posterior(
        network=network,
        temperature=header["temperature"],
        approximation=header["approximation"],
        certificate=certificate,
        mixture=mixture,
        exact=header["exact"],
        engine=engine,
    )


def _network_to_json(network: Network) -> dict[str, Any]:
    if isinstance(network, PrecomputedKernel):
        return {"kind": "PrecomputedKernel", "widths": network.widths}
    return {
        "kind": "FullyConnected",
        "widths": network.widths,
        "activation": network.phi.name if network.phi.builtin else None,
        "callable": None if network.phi.builtin else network.phi.name,
        "weight_precisions": network.weight_precisions,
        "bias_variance": network.bias_variances,
        "closure": network.closure,
    }


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
    return FullyConnected(
        spec["widths"], phi, tuple(spec["weight_precisions"]), tuple(spec["bias_variance"]), spec["closure"]
    )
