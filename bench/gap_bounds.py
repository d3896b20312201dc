"""What a row of `gap.py` measured, in units of T_y, with its verdict; and what classical bounds say of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
DELTA = 0.05  # of the classical bounds: they hold with probability 1 − δ


@dataclass(frozen=True)
class Gap:
    """What one protocol of one row measured, in units of T_y.

    Args:
        value, error: (ε_g − ε_t)/T_y and its standard error.
        bound: 2 N_eff/P.
        size, P: N_eff and the examples that the readout was fitted on.
        ratio, ratio_error: gap/ε_g.
        m: of the readout, or of the whole network; None where unknown.
        sharp: of a readout, gap/T_y by its training error and m, ε_t((1 − m)⁻² − 1); None where m is 1.
    """

    value: float
    error: float
    bound: float
    size: int
    P: int
    ratio: float
    ratio_error: float
    m: float | None
    sharp: float | None

    @property
    def verdict(self) -> str:
        """vacuous while P ≤ 2 N_eff; then by two standard errors."""
        if 2 * self.size >= self.P:
            return "vacuous"
        if self.value + 2.0 * self.error <= self.bound:
            return "held"
        return "violated" if self.value - 2.0 * self.error > self.bound else "inconclusive"


def gap(row: Row, protocol: str) -> Gap | None:
    """One protocol of a row; None where it was not measured."""
    if protocol == "refit_press":
        return _left_out(row)
    if row.get(f"{protocol}_error_g") is None:
        return None
    t, g, var_t, var_g = (
        float(row[f"{protocol}_{what}"]) for what in ("error_t", "error_g", "variance_t", "variance_g")
    )
    P = int(row["fresh" if protocol.startswith("refit") else "P"])
    T = float(row["T_y"] if protocol == "network" else row[f"{protocol}_T_y"])
    m = row.get("m") if protocol == "network" else row[f"{protocol}_m"]
    m = None if m is None else min(max(float(m), 0.0), 1.0)
    var_t, var_g = var_t / P, var_g / int(row["test"])
    size = int(row[f"{protocol}_size"])
    return Gap(
        value=(g - t) / T,
        error=math.sqrt(var_t + var_g) / T,
        bound=2.0 * size / P,
        size=size,
        P=P,
        ratio=1.0 - t / g,
        ratio_error=math.sqrt(var_t + (t / g) ** 2 * var_g) / g,
        m=m,
        sharp=None if m is None or m > 0.999 or protocol == "network" else t / T * ((1.0 - m) ** -2 - 1.0),
    )


def _left_out(row: Row) -> Gap | None:
    """The gap that the library reports of a refit: left-out less training error, example by example, no test points."""
    if row.get("refit_press_gap") is None or row.get("refit_press_error") is None:
        return None
    size, P, scale = (
        int(row["refit_squares_size"]),
        int(row["fresh"]),
        row["refit_squares_T_y"] / row["refit_squares_press"],
    )
    value, error = float(row["refit_press_gap"]), float(row["refit_press_error"])
    readout = gap(row, "refit_squares")
    return Gap(
        value,
        error,
        2.0 * size / P,
        size,
        P,
        value * scale,
        error * scale,
        readout and readout.m,
        readout and readout.sharp,
    )


def gaps(rows: list[Row], protocol: str, keep: Callable[[Row], bool] = lambda row: True) -> Iterator[tuple[Row, Gap]]:
    """Rows with what one protocol measured of them."""
    for row in rows:
        if keep(row) and (found := gap(row, protocol)) is not None:
            yield row, found


def vapnik_chervonenkis(p: float, depth: float, P: float) -> float:
    """Of the share of wrong signs: √(8(d log(2eP/d) + log(4/δ))/P) for P ≥ d, d = p L log₂ p; else 1.

    Anthony & Bartlett 1999, Theorems 3.7 and 4.3; d in order of magnitude, with the constant taken as one:
    Bartlett, Harvey, Liaw, Mehrabian 2019, JMLR 20(63).
    """
    d = p * depth * math.log2(p)
    return 1.0 if d > P else math.sqrt(8.0 * (d * math.log(2.0 * math.e * P / d) + math.log(4.0 / DELTA)) / P)


def by_norms(row: Row) -> float | None:
    """Of the mean square, in units of T_y: 2·2M·R + M²√(log(1/δ)/(2P)), R = B(√(2 L log 2) + 1) Π‖W‖_F/√P.

    Golowich, Rakhlin, Shamir 2018, Theorem 1, arXiv 1712.06541. M, the largest residual seen, makes the square
    Lipschitz (2M) and bounded; it and the norms are taken after training, which favours the bound.
    """
    if row["log_norms"] is None:
        return None
    P, M, L = int(row["P"]), float(row["residual"]), int(row["depth"])
    log_R = float(row["log_norms"]) + math.log(float(row["longest"]) * (math.sqrt(2.0 * L * math.log(2.0)) + 1.0))
    return (4.0 * M * math.exp(log_R) / math.sqrt(P) + M**2 * math.sqrt(math.log(1.0 / DELTA) / (2.0 * P))) / float(
        row["T_y"]
    )
