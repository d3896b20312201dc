"""The prediction as a table: finite width beside infinite width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from widthwise.report.records import evidence
from widthwise.report.whole_table import Column, WholeTable

_VALIDITY_STYLE = {"sound": "green", "doubtful": "yellow", "outside": "red"}


def prediction_table(
    *,
    data: Mapping[str, Any],
    temperature: float,
    network: Any,
    posterior: Any,
    score: Any,
    infinite: Any,
    infinite_score: Any,
) -> RenderableType:
    """Errors, accuracy, order parameters and evidence of the finite network beside those of infinite width.

    Args:
        data: `DataSet.describe()`.
        temperature: T.
        network: what was predicted.
        posterior: of the finite network, from `infer`.
        score: its `score(X_test, y_test)`.
        infinite: the same network's posterior at infinite width.
        infinite_score: its score.
    """
    widths = "-".join(str(N) for N in network.widths)
    finite_name = f"{widths} channels" if hasattr(network, "channels") else f"width {widths}"
    rows: list[tuple[str, str, str, str]] = []
    for name, finite, wide in (
        ("test error", score, infinite_score),
        ("training error", posterior.training_error, infinite.training_error),
    ):
        for label, key in ((name, "total"), ("  bias", "bias"), ("  variance", "variance")):
            a, b = float(getattr(finite, key)), float(getattr(wide, key))
            bar = finite.theory_error if key == "total" else None
            shown = _number(a) if bar is None else f"{_number(a)} ± {bar:.2g}"
            rows.append((label, shown, _number(b), _ratio(a, b)))
    if data.get("task") == "classification" and score.accuracy is not None:
        rows.append(("accuracy", _percent(score.accuracy), _percent(infinite_score.accuracy), ""))
    likelihoods = [_number(found.negative_log_likelihood) for found in (score, infinite_score)]
    rows.append(("negative log likelihood", likelihoods[0], likelihoods[1], ""))
    finite_evidence = evidence(posterior)
    shown = "–" if finite_evidence is None else f"{finite_evidence:.2f}"
    gain = "" if finite_evidence is None else f"{finite_evidence - infinite.log_evidence:+.2f} nats"
    rows.append(("log evidence", shown, f"{infinite.log_evidence:.2f}", gain))
    wide_values = infinite.order_parameters
    for name, values in posterior.order_parameters.items():
        wide = _order_parameter(wide_values[name]) if name in wide_values else ""
        rows.append((f"order parameter {name}{_shape(values)}", _order_parameter(values), wide, ""))
    rows.append(("load P/N", _values(posterior.load), "0", ""))
    labels, *cells = zip(*rows)
    titles = {finite_name: "bold", "infinite width": "", "ratio": "dim"}
    columns = [Column(title, entries, style) for (title, style), entries in zip(titles.items(), cells)]
    table = WholeTable(labels, columns)
    return Group(_heading(data, temperature, network), table, _footing(posterior))


def _heading(data: Mapping[str, Any], T: float, network: Any) -> RenderableType:
    classes = list(data["classes"])
    what = f", {' against '.join(classes)}" if len(classes) == 2 else f", {len(classes)} classes" if classes else ""
    first = f"{data['name']}{what}: {data['train_size']} training and {data['test_size']} test examples"
    return Padding(
        Text.assemble(
            (first, "bold"),
            f", {data['features']} features\n{network.name}, weight precisions "
            f"{', '.join(f'{x:g}' for x in network.weight_precisions)}, temperature {T:g}",
        ),
        (1, 0, 0, 0),
    )


def _footing(posterior: Any) -> RenderableType:
    validity, certificate = posterior.validity, posterior.certificate
    line = Text("validity: ")
    word = str(getattr(validity, "verdict", "unknown"))
    line.append(word, style=_VALIDITY_STYLE.get(word, ""))
    line.append(f"  (τ {_short(validity.tau)}, ρ {_short(validity.rho)}, τρ {_short(validity.product)})")
    if getattr(validity, "reason", None):
        line.append(f"\n  {validity.reason}", style="dim")
    line.append(f"\n{posterior.approximation}: ")
    status = getattr(certificate, "status", None)
    line.append("" if status is None else f"{getattr(status, 'value', status)}, ")
    if getattr(certificate, "monte_carlo_error", None) is not None:
        what = "the training error" if posterior.approximation == "cavity" else "Q"
        noise = 100 * certificate.monte_carlo_error
        line.append(f"Monte-Carlo error of {what} {noise:.2g} %, R-hat {certificate.rhat:.3f}")
    else:
        line.append(f"residual {_short(getattr(certificate, 'residual', None))}")
    line.append(
        "\nErrors are posterior averages of (y − f)²: bias + variance; the temperature adds nothing.\n"
        "±: the theory's own 95 % error bar, for the error of the sampled network (docs/truth.md).",
        style="dim",
    )
    return Padding(line, (0, 0, 1, 0))


def _number(value: Any) -> str:
    """Five significant digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3e}" if value != 0 and abs(value) < 1e-3 else f"{value:#.5g}"


def _short(value: Any) -> str:
    try:
        return f"{float(np.max(np.abs(np.asarray(value, dtype=float)))):.2g}"
    except (TypeError, ValueError):
        return "–"


def _percent(value: Any) -> str:
    return "–" if value is None else f"{100 * float(value):.1f} %"


def _ratio(a: float, b: float) -> str:
    return f"{a / b:.3f}" if b and math.isfinite(a / b) else "–"


def _shape(values: Any) -> str:
    """ ", 3x3 eigenvalues" of a matrix; nothing of numbers."""
    array = np.asarray(values)
    return f", {array.shape[-1]}x{array.shape[-1]} eigenvalues" if array.ndim > 1 else ""


def _order_parameter(values: Any) -> str:
    """One number per layer; of matrices their eigenvalues, all or from the smallest to the largest."""
    array = np.asarray(values, dtype=float)
    if array.ndim < 2:
        return _values(array)
    spectra = np.linalg.eigvalsh(array.reshape(-1, *array.shape[-2:]))
    return "; ".join(_values(q) if len(q) <= 3 else f"{q[0]:.4g} to {q[-1]:.4g}" for q in spectra)


def _values(values: Any) -> str:
    """One number, or one per layer."""
    entries: Sequence[float] = np.ravel(np.asarray(values, dtype=float)).tolist()
    return ", ".join(f"{x:.4g}" for x in entries)
