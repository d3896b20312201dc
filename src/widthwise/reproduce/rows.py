"""What a reproduction is made of: points, each with its verdict in words."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from widthwise.comparison.table import AGREEMENT, CONVERGED

EXACT = 1e-5  # two computations of one theory value agree to this, relatively


@dataclass(frozen=True)
class Row:
    """One point of a figure or a table: what theory, sampler and publication say of it.

    Args:
        series: which curve, such as "T = 0.01".
        x: where on it.
        quantity: such as "test error".
        theory: of finite width, ours.
        infinite: of infinite width.
        sampled, standard_error: of the real network, ours.
        rhat, ess: of its chains.
        seconds: that the chains took.
        settings: sampler, seed, and what else was chosen.
        published: the theory's published value.
        published_sampled, published_standard_error: of the real network, as published.
        unmixed: what speaks against its chains, in words; empty when nothing does.
    """

    series: str
    x: float
    quantity: str
    theory: float
    infinite: float | None = None
    sampled: float | None = None
    standard_error: float | None = None
    rhat: float | None = None
    ess: float | None = None
    seconds: float | None = None
    settings: str = ""
    published: float | None = None
    published_sampled: float | None = None
    published_standard_error: float | None = None
    unmixed: str = ""

    @property
    def deviation(self) -> float | None:
        """theory / published − 1."""
        return None if self.published is None else _relative(self.theory, self.published)

    @property
    def excess(self) -> float | None:
        """sampled / theory − 1."""
        return None if self.sampled is None else _relative(self.sampled, self.theory)

    @property
    def z(self) -> float | None:
        """(sampled − theory) / standard error."""
        return None if self.sampled is None else _z(self.sampled - self.theory, self.standard_error)

    @property
    def status(self) -> str:
        """One of seven.

        "failed": theory ≠ published; "not mixed", "no standard error": the sampled value proves nothing; "differs":
        |z| > 3; "agrees"; "reproduced": nothing sampled, and theory = published; "computed": nothing to compare with.
        """
        if self.deviation is not None and not abs(self.deviation) <= EXACT:
            return "failed"
        if self.sampled is not None:
            if self.unmixed or (self.rhat is not None and not self.rhat <= CONVERGED):
                return "not mixed"
            if self.z is None:
                return "no standard error"
            return "agrees" if abs(self.z) <= AGREEMENT else "differs"
        return "computed" if self.published is None else "reproduced"

    @property
    def verdict(self) -> str:
        """One line: theory beside the published theory, the sampled network beside both."""
        said = [f"theory {self.theory:.6g}"]
        if self.deviation is not None:
            same = self.status != "failed"
            said[0] += (
                f", as published (to {abs(self.deviation):.1e})"
                if same
                else f", NOT the published {self.published:.6g} ({100 * self.deviation:+.3g} %)"
            )
        if self.infinite is not None:
            said[0] += f"; infinite width {_short(_relative(self.infinite, self.theory))}"
        if self.sampled is not None:
            said.append(f"sampled {_with_error(self.sampled, self.standard_error)}: {self._beside_theory()}")
        if self.published_sampled is not None:
            published = f"published {_with_error(self.published_sampled, self.published_standard_error)}"
            said.append(f"{published}: {self._beside_published()}")
        return "; ".join(said)

    def _beside_theory(self) -> str:
        z, excess = self.z, self.excess
        off = _short(excess or 0.0)
        if self.status == "not mixed":
            if self.unmixed:
                return f"the chains have not mixed ({self.unmixed})"
            return f"the chains disagree (R-hat {self.rhat:.2f})"
        if z is None:
            return f"{off} of theory, no standard error"
        return f"{'agrees with' if abs(z) <= AGREEMENT else 'differs from'} theory ({off}, z {z:+.1f})"

    def _beside_published(self) -> str:
        """Our sampled value beside the published one; without ours, the published one beside theory."""
        sampled, error = self.published_sampled or math.nan, self.published_standard_error
        if self.sampled is None:
            z = _z(sampled - self.theory, error)
            return f"{_short(_relative(sampled, self.theory))} of theory" + ("" if z is None else f", z {z:+.1f}")
        z = _z(sampled - self.sampled, math.hypot(error or 0.0, self.standard_error or 0.0))
        off = f"{_short(_relative(sampled, self.sampled))} of ours"
        return off if z is None else f"{off} (z {z:+.1f})"


@dataclass(frozen=True)
class Reproduction:
    """A published result, computed anew.

    Args:
        study: its name.
        title: one line.
        rows: the points.
        notes: what is to be read from them, in sentences.
        seconds: that it took.
        setup: whatever decides the numbers: data, seeds, versions; setup["x"] names the rows' x.
    """

    study: str
    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    seconds: float
    setup: dict[str, Any]

    @property
    def failed(self) -> tuple[Row, ...]:
        """The points whose theory is not the published one."""
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def counts(self) -> dict[str, int]:
        """How many points have which status."""
        return dict(Counter(row.status for row in self.rows))

    def verdicts(self) -> list[str]:
        """One line for each point."""
        x = self.setup.get("x", "x")
        return [f"{row.series}, {x} = {row.x:g}, {row.quantity}: {row.verdict}" for row in self.rows]

    def summary(self) -> str:
        """One line for all of them."""
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        return f"{self.study}: {len(self.rows)} points ({counts}) in {self.seconds:.0f} s"

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain values, their verdicts included."""
        return [asdict(row) | {"status": row.status, "verdict": row.verdict} for row in self.rows]

    def csv(self) -> str:
        """The rows as a table for machines: every digit; a missing value is an empty cell."""
        text = io.StringIO()
        names = [*(field.name for field in fields(Row)), "status", "verdict"]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records())
        return text.getvalue()

    def markdown(self) -> str:
        """The rows as a table for people, with the notes and the setup."""
        columns = [column for column in _COLUMNS if any(column.of(row) is not None for row in self.rows)]
        head = ["series", str(self.setup.get("x", "x")), "quantity", *(column.title for column in columns), "status"]
        lines = [f"# {self.study}: {self.title}", "", self.summary() + ".", ""]
        lines += [f"![{self.title}]({self.study}.png)", ""]
        lines += [*(f"- {note}" for note in self.notes), "", "| " + " | ".join(head) + " |"]
        lines.append("|---|---:|---|" + "---:|" * len(columns) + "---|")
        for row in self.rows:
            values = [column.of(row) for column in columns]
            cells = ["" if v is None else column.form.format(v) for v, column in zip(values, columns)]
            lines.append("| " + " | ".join([row.series, f"{row.x:g}", row.quantity, *cells, row.status]) + " |")
        settings = dict.fromkeys(row.settings for row in self.rows if row.settings)
        lines += ["", *(f"- {name}: {value}" for name, value in self.setup.items() if name != "x")]
        lines += [f"- sampled with {text}" for text in settings]
        return "\n".join(lines).rstrip() + "\n"


class _Column(NamedTuple):
    """Of the table for people."""

    title: str
    form: str
    of: Callable[[Row], float | None]


def _off(value: float | None, row: Row) -> float | None:
    """value / sampled − 1, in per cent."""
    return None if value is None or not row.sampled else 100.0 * (value / row.sampled - 1.0)


_COLUMNS = (
    _Column("theory", "{:.6g}", lambda row: row.theory),
    _Column("infinite width", "{:.6g}", lambda row: row.infinite),
    _Column("published theory", "{:.6g}", lambda row: row.published),
    _Column("sampled", "{:.5g}", lambda row: row.sampled),
    _Column("s.e.", "{:.2g}", lambda row: row.standard_error),
    _Column("theory is off, %", "{:+.2f}", lambda row: _off(row.theory, row)),
    _Column("infinite width is off, %", "{:+.2f}", lambda row: _off(row.infinite, row)),
    _Column("z", "{:+.1f}", lambda row: row.z),
    _Column("published sampled", "{:.5g}", lambda row: row.published_sampled),
    _Column("its s.e.", "{:.2g}", lambda row: row.published_standard_error),
    _Column("R-hat", "{:.3f}", lambda row: row.rhat),
    _Column("ESS", "{:.0f}", lambda row: row.ess),
    _Column("seconds", "{:.0f}", lambda row: row.seconds),
)


def measured(samples: Any, quantity: str = "generalisation_error") -> dict[str, Any]:
    """What a `Row` says of sampled chains: sampled, standard_error, ess, seconds, the worst rhat, what is amiss.

    Args:
        samples: from `ww.sample`.
        quantity: "generalisation_error" or "training_error".
    """
    return of_chains(samples, getattr(samples, quantity))


def of_chains(samples: Any, estimate: Any) -> dict[str, Any]:
    """The same of any average over the draws.

    Args:
        samples: from `ww.sample`.
        estimate: the average, a `widthwise.sampling.Estimate`.
    """
    diagnostics = getattr(samples, "diagnostics", None)
    worst = getattr(diagnostics, "rhat", estimate.rhat)
    return {
        "sampled": float(estimate.value),
        "standard_error": float(estimate.standard_error),
        "rhat": float(np.maximum(estimate.rhat, worst)),
        "ess": float(estimate.ess),
        "seconds": float(samples.seconds),
        "unmixed": "; ".join(getattr(diagnostics, "problems", ())),
    }


def theory_notes(rows: Iterable[Row], x: str) -> Iterator[str]:
    """How many published values the theory and infinite width meet, in sentences.

    Args:
        rows: the points; those without a published value are passed over.
        x: what `Row.x` is called.
    """
    known = [(row, abs(row.deviation)) for row in rows if row.deviation is not None]
    if not known:
        return
    worst, largest = max(known, key=lambda pair: pair[1])
    agree = sum(row.status != "failed" for row, _ in known)
    yield (
        f"Theory: {agree} of {len(known)} published values reproduced to {EXACT:g}; the largest relative deviation is "
        f"{largest:.1e}, at {worst.series}, {x} = {worst.x:g}."
    )
    wide = [abs(_relative(row.infinite, row.published or 0.0)) for row, _ in known if row.infinite is not None]
    if wide:
        yield (
            f"Infinite width: {sum(off <= EXACT for off in wide)} of {len(wide)} published values; it is off by "
            f"{100 * min(wide):.2g} to {100 * max(wide):.2g} %."
        )


def per_cent(excess: float, error: float | None, scale: float) -> str:
    """ "+2.93 ± 0.25 %".

    Args:
        excess: relative.
        error: standard error, of a quantity of the size `scale`.
        scale: what the excess is relative to.
    """
    return f"{100 * excess:+.2f}" + ("" if error is None else f" ± {100 * error / scale:.2f}") + " %"


def _short(excess: float) -> str:
    """ "+2.9 %", "-112 %"."""
    return f"{100 * excess:+.2g} %" if abs(excess) < 0.995 else f"{100 * excess:+.0f} %"


def _relative(value: float, to: float) -> float:
    return value / to - 1.0 if to else math.inf * (value - to) if value != to else 0.0


def _z(difference: float, error: float | None) -> float | None:
    return difference / error if error is not None and error > 0.0 else None


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.5f}" if error is None else f"{value:.5f} ± {error:.5f}"
