"""Results as plain values, and those as strict JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from widthwise.errors import InputError


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, derived numbers included; arrays as lists, NaN and ±inf as None: what JSON can say.

    Args:
        value: a result, or a part of one.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
        derived = [name for name, entry in vars(type(value)).items() if isinstance(entry, property) and name[0] != "_"]
        return {name: plain(getattr(value, name)) for name in (*names, *derived)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def strict_json(record: Mapping[str, Any]) -> bytes:
    """The record as UTF-8 JSON, without NaN or Infinity.

    Args:
        record: anything that `plain` understands.
    """
    return (json.dumps(plain(record), indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def prediction_record(
    *,
    data: Mapping[str, Any],
    temperature: float,
    posterior: Any,
    score: Any,
    infinite: Any,
    infinite_score: Any,
    network: Any,
    seconds: float,
    calibration: Any = None,
) -> dict[str, Any]:
    """What `predict --json` writes.

    Args:
        data: `DataSet.describe()`.
        temperature: T.
        posterior: of the finite network, from `infer`.
        score: its `score(X_test, y_test)`.
        infinite: the same network's posterior at infinite width.
        infinite_score: its score.
        network: what was predicted.
        seconds: wall time of loading and predicting.
        calibration: the posterior's `calibration(X_test, y_test)`.
    """
    classified = data.get("task") == "classification"
    return {
        "network": network_record(network),
        "data": dict(data),
        "temperature": temperature,
        "approximation": posterior.approximation,
        "order_parameters": plain(posterior.order_parameters),
        "certificate": plain(posterior.certificate),
        "validity": plain(posterior.validity),
        "load": plain(posterior.load),
        "log_evidence": evidence(posterior),
        "log_evidence_gain": evidence(posterior, "log_evidence_gain"),
        "training_error": errors(posterior.training_error, bar=True),
        "generalisation_error": errors(score, bar=True),
        "accuracy": plain(score.accuracy) if classified else None,
        "calibration": plain(calibration),
        "infinite_width": {
            "training_error": errors(infinite.training_error),
            "generalisation_error": errors(infinite_score),
            "accuracy": plain(infinite_score.accuracy) if classified else None,
            "log_evidence": infinite.log_evidence,
        },
        "seconds": seconds,
    }


def evidence(posterior: Any, name: str = "log_evidence") -> float | None:
    """The log evidence, or its gain; None where there is none (the saddle of a matrix with more rows than units)."""
    try:
        return float(getattr(posterior, name))
    except InputError:
        return None


def errors(result: Any, *, bar: bool = False) -> dict[str, Any]:
    """Total, bias and variance of an error, and half of the theory's own 95 % error bar where it is wanted."""
    names = ("total", "bias", "variance", *(("theory_error",) if bar else ()))
    return {name: plain(getattr(result, name)) for name in names}


def network_record(network: Any) -> dict[str, Any]:
    """What the user described, with the activation by name."""
    record = {
        "name": network.name,
        "widths": plain(network.widths),
        "depth": network.depth,
        "activation": network.phi.name,
        "weight_precisions": plain(network.weight_precisions),
        "bias_variance": plain(network.bias_variance),
    }
    own = ("closure", "channels", "patch", "stride", "padding", "readout")
    return record | {name: plain(getattr(network, name)) for name in own if hasattr(network, name)}
