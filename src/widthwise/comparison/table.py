"""The theory's numbers beside the sampled network's, with the distance in standard errors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from widthwise.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

# Beyond these, the sampled number is not the theory's and the chains have not converged to one number.
AGREEMENT = 3.0
CONVERGED = 1.05


@dataclass(frozen=True)
class Row:
    """One quantity, predicted and sampled.

    Args:
        quantity: in words.
        theory: the prediction.
        theory_error: half-width of the prediction's own 95 % error bar; None where it has none.
        sampled: the mean over the posterior draws.
        standard_error: of `sampled`.
        ess: effective sample size, None where unknown.
        rhat: the chains' R-hat, None where unknown.
        draws_error: standard error of `theory` from draws of a matrix-valued order parameter, 0 where none are drawn.
    """

    quantity: str
    theory: float
    theory_error: float | None
    sampled: float
    standard_error: float
    ess: float | None = None
    rhat: float | None = None
    draws_error: float = 0.0

    @property
    def z(self) -> float:
        """(sampled − theory) / standard error, that of the theory's draws included: NaN without a standard error."""
        difference = self.sampled - self.theory
        if difference == 0.0:
            return 0.0
        error = math.hypot(self.standard_error, self.draws_error)
        return difference / error if self.standard_error > 0 else math.nan

    @property
    def deviation(self) -> float:
        """(theory − sampled) / |sampled|: how far the theory is off, relatively."""
        return (self.theory - self.sampled) / abs(self.sampled) if self.sampled else math.nan

    @property
    def verdict(self) -> str:
        """ "agrees" (|z| ≤ 3), "differs by x.x %, within its bar" or "…, beyond its bar", or why none can be said."""
        if self.rhat is not None and self.rhat > CONVERGED:
            return f"chains disagree (R-hat {self.rhat:.2f})"
        if not math.isfinite(self.z):
            return "no standard error"
        if abs(self.z) <= AGREEMENT:
            return "agrees"
        text = f"differs by {100 * abs(self.deviation):.1f} %"
        if self.theory_error is None:
            return text
        room = self.theory_error + AGREEMENT * self.standard_error
        return f"{text}, {'within' if abs(self.sampled - self.theory) <= room else 'beyond'} its bar"


@dataclass(frozen=True)
class Comparison:
    """A table of theory and experiment: iterate over it, `str()` it, or print it with Rich.

    Args:
        rows: one per quantity.
        network: what was predicted and sampled, in words.
    """

    rows: tuple[Row, ...]
    network: str = ""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, quantity: str) -> Row:
        for row in self.rows:
            if row.quantity == quantity:
                return row
        raise KeyError(quantity)

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain values, for files."""
        return [dataclasses.asdict(r) | {"z": r.z, "deviation": r.deviation, "verdict": r.verdict} for r in self.rows]

    def __rich__(self) -> Table:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, title=self.network or None, title_justify="left", pad_edge=False)
        table.add_column("", no_wrap=True)
        for name in ("theory", "sampled", "z"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("verdict")
        for row in self.rows:
            style = "green" if row.verdict == "agrees" else "yellow"
            table.add_row(*_cells(row)[:-1], f"[{style}]{row.verdict}[/]")
        return table

    def __str__(self) -> str:
        header = ("", "theory", "sampled", "z", "verdict")
        lines = [header, *(_cells(row) for row in self.rows)]
        wide = [max(len(line[i]) for line in lines) for i in range(len(header))]
        text = [
            "  ".join([line[0].ljust(wide[0]), *(line[i].rjust(wide[i]) for i in (1, 2, 3)), line[4]]).rstrip()
            for line in lines
        ]
        return "\n".join([self.network, *text] if self.network else text)


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    theory = f"{row.theory:.5f}" if row.theory_error is None else f"{row.theory:.5f} ± {row.theory_error:.5f}"
    z = f"{row.z:+.1f}" if math.isfinite(row.z) else "–"
    whole, _, part = row.quantity.partition(": ")
    return f"  {part}" if part else whole, theory, f"{row.sampled:.5f} ± {row.standard_error:.5f}", z, row.verdict


def compare(posterior: Any, samples: Any) -> Comparison:
    """The predicted errors of a posterior beside those of its sampled network.

    z = (sampled − theory) / standard error of the sampled mean, and of the theory's own draws where it has any; beside
    the prediction stands its own 95 % error bar, which z does not count.

    Assumes: both belong to the same network, data and temperature; the sampled means are close to normal.

    Args:
        posterior: what `infer` returned.
        samples: what `sample` returned for the same network, data and temperature.

    Returns:
        A `Comparison` with the training error and, where the samples have a test set, the test error; each with its
        bias and variance.

    Raises:
        InputError: the two belong to different networks, temperatures or targets.
    """
    check_same(posterior, samples)
    rows = _rows("training error", posterior.training_error, samples.training_error)
    if samples.y_test is not None:
        score = posterior.score(samples.X_test, samples.y_test)
        rows += _rows("test error", score, samples.generalisation_error)
    return Comparison(tuple(rows), getattr(getattr(posterior, "network", None), "name", ""))


def _rows(quantity: str, theory: Any, estimate: Any) -> list[Row]:
    """An error's total, and its bias and variance where they were sampled too."""
    bar, drawn = getattr(theory, "theory_error", None), getattr(theory, "monte_carlo_error", None)
    rows = [_row(quantity, theory.total, estimate, bar, drawn or 0.0)]
    for part in ("bias", "variance"):
        if getattr(estimate, part, None) is not None:
            rows.append(_row(f"{quantity}: {part}", getattr(theory, part), getattr(estimate, part)))
    return rows


def _row(quantity: str, theory: Any, estimate: Any, theory_error: float | None = None, draws_error: float = 0.0) -> Row:
    def number(name: str) -> float | None:
        value = getattr(estimate, name, None)
        return None if value is None else float(value)

    return Row(
        quantity,
        float(theory),
        theory_error,
        float(estimate.value),
        float(estimate.standard_error),
        number("ess"),
        number("rhat"),
        draws_error,
    )


def check_same(posterior: Any, samples: Any, caller: str = "compare") -> None:
    """Raise where the two are not a posterior and samples, or are about different things."""
    for what, value in (("posterior", posterior), ("samples", samples)):
        if not hasattr(value, "training_error") or hasattr(value, "y_test") != (what == "samples"):
            raise InputError(f"{caller}: expected (posterior, samples), got {type(value).__name__} as {what}.")
    for name in ("temperature", "network"):
        mine, theirs = getattr(posterior, name), getattr(samples, name)
        if mine != theirs:
            raise InputError(
                f"{caller}: expected one {name} for both, got {mine!r} in theory and {theirs!r} sampled; "
                "predict and sample the same."
            )
    if not np.array_equal(np.ravel(posterior.targets), np.ravel(samples.y)):
        raise InputError(
            f"{caller}: expected the same training targets for both, got others; predict and sample the same."
        )
