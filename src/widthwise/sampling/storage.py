"""Samples on disk: one .npz of plain arrays and a JSON header, written whole or not at all, read without pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from widthwise.activations.phi import BUILTIN, leaky_relu
from widthwise.errors import InputError
from widthwise.files import whole
from widthwise.networks import Convolutional, FullyConnected
from widthwise.sampling.coordinates import Frame
from widthwise.sampling.samplers import SAMPLERS
from widthwise.sampling.samples import OF_EVERY_DRAW, OF_EVERY_LADDER, Samples

FORMAT = "widthwise samples"
VERSION = 2
ARRAYS = ("X_test", "inputs", "y", *OF_EVERY_DRAW, "weights", "dropped")
LADDER = ("betas", *OF_EVERY_LADDER)  # of a tempered run alone
NETWORKS: dict[str, type[FullyConnected | Convolutional]] = {n.__name__: n for n in (FullyConnected, Convolutional)}


def save(samples: Samples, path: Any) -> None:
    """Write `samples` to `path`: a temporary file beside it, then one rename."""
    network, frame, phi = samples.network, samples.frame, samples.network.phi
    named = phi.slope is not None or BUILTIN.get(phi.name) is phi
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": type(network).__name__,
        "network": {f.name: getattr(network, f.name) for f in fields(network) if f.init and f.name != "activation"},
        "activation": {"name": phi.name, "slope": phi.slope, "named": named},
        "temperature": samples.temperature,
        "sampler": {"name": samples.sampler.name, "settings": asdict(samples.sampler)},
        "key": samples.key,
        "scalar": samples.scalar,
        "frame": {"precision": frame.precision, "bias_variance": frame.bias_variance},
        "step_size": samples.step_size,
        "seconds": samples.seconds,
        "drift": samples.drift,
    }
    arrays = {name: getattr(samples, name) for name in ARRAYS} | {"basis": frame.basis}
    arrays |= {name: getattr(samples, name) for name in LADDER if samples.betas is not None}
    if samples.y_test is not None:
        arrays["y_test"] = samples.y_test
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with whole(path) as file:
        np.savez(file, **arrays)


def load(path: Any, *, activation: Callable[[Any], Any] | None = None) -> Samples:
    """Read samples that `Samples.save` wrote.

    Args:
        path: of the file.
        activation: the function itself, where the network was sampled with one of the caller's own.

    Raises:
        InputError: no such file, not samples, truncated, or an activation that must be passed is missing.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            header = json.loads(bytes(file["header"]).decode())
            if header["format"] != FORMAT or not 1 <= header["version"] <= VERSION:
                raise InputError(
                    f"load: expected {FORMAT!r} of version {VERSION} or before, got {header['format']!r} of version "
                    f"{header['version']!r} in {path}; read it with the release that wrote it."
                )
            # the first files knew of no burn-in
            arrays = {name: file[name] for name in ARRAYS if name != "dropped" or name in file}
            arrays |= {name: file[name] for name in LADDER if name in file}
            basis, y_test = file["basis"], file.get("y_test")
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"load: expected a file of samples, got {path} ({reason}); check the path.") from error
    phi = header["activation"]
    if phi["slope"] is not None:
        function: Any = leaky_relu(phi["slope"])
    elif phi["named"]:
        function = phi["name"]
    elif activation is not None:
        function = activation
    else:
        raise InputError(
            f"load: {path} was sampled with an activation of your own, {phi['name']!r}, which a file cannot hold; "
            "pass it as load(path, activation=...)."
        )
    # the first files had one architecture and did not name it
    architecture = NETWORKS[header.get("architecture", FullyConnected.__name__)]
    return Samples(
        network=architecture(activation=function, **header["network"]),
        temperature=header["temperature"],
        sampler=SAMPLERS[header["sampler"]["name"]](**header["sampler"]["settings"]),
        key=tuple(header["key"]),
        frame=Frame(basis, **header["frame"]),
        y_test=y_test,
        scalar=header["scalar"],
        step_size=header["step_size"],
        seconds=header["seconds"],
        drift=header.get("drift", ""),
        **({"dropped": np.empty((len(arrays["log_likelihood"]), 0))} | arrays),
    )
