"""The predicted law beside the sampled one and the data: intervals, likelihoods, and the evidence for finite width."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from widthwise.comparison.table import check_same
from widthwise.errors import InputError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

LEVELS = (0.5, 0.8, 0.9, 0.95)
BLOCK = 256  # test points predicted at a time
TITLE = "How often the sampled network's f, and the targets y, lie in the central intervals"


@dataclass(frozen=True)
class Level:
    """One central interval of f, as predicted; and of noisy targets, as predicted and as sampled.

    Args:
        nominal: what the interval promises.
        sampled: how often f of the sampled network lies in the predicted interval.
        standard_error: of `sampled`.
        infinite: the same of infinite width's interval; None where it was not asked for.
        infinite_standard_error: of `infinite`.
        targets: share of the test targets inside the predicted interval of targets.
        targets_sampled: share inside the sampled network's own.
        targets_infinite: share inside infinite width's; None where it was not asked for.
        width: mean width of the predicted interval of f.
        ess: effective sample size of `sampled`, None where unknown.
        rhat: the chains' R-hat, None where unknown.
    """

    nominal: float
    sampled: float
    standard_error: float
    infinite: float | None
    infinite_standard_error: float | None
    targets: float
    targets_sampled: float
    targets_infinite: float | None
    width: float
    ess: float | None = None
    rhat: float | None = None

    @property
    def z(self) -> float:
        """(sampled − nominal) / standard error: NaN without a standard error."""
        return (self.sampled - self.nominal) / self.standard_error if self.standard_error > 0 else math.nan


@dataclass(frozen=True)
class CalibrationTable:
    """How well a predicted law is calibrated: iterate over its levels, `str()` it, or print it with Rich.

    Args:
        rows: one per level.
        predicted: the posterior's own `calibration` on the test data.
        sampled_negative_log_likelihood, standard_error: of the sampled network.
        infinite_negative_log_likelihood: of infinite width; None where it was not asked for.
        log_evidence, log_evidence_infinite: log p(y | X) in nats, finite and infinite width; None where there is none.
        network: what was predicted and sampled, in words.
    """

    rows: tuple[Level, ...]
    predicted: Any
    sampled_negative_log_likelihood: float
    standard_error: float
    infinite_negative_log_likelihood: float | None
    log_evidence: float | None
    log_evidence_infinite: float | None
    network: str = ""

    @property
    def log_evidence_gain(self) -> float | None:
        """Finite minus infinite width, in nats: the log of the Bayes factor between them."""
        if self.log_evidence is None or self.log_evidence_infinite is None:
            return None
        return self.log_evidence - self.log_evidence_infinite

    def __iter__(self) -> Iterator[Level]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, nominal: float) -> Level:
        for row in self.rows:
            if math.isclose(row.nominal, nominal):
                return row
        raise KeyError(nominal)

    def records(self) -> dict[str, Any]:
        """What the posterior says alone, and beside it the sampled network's, as plain values, for files."""
        names = [f.name for f in dataclasses.fields(self) if f.name not in ("rows", "predicted", "network")]
        beside = {name: getattr(self, name) for name in (*names, "log_evidence_gain")}
        rows = [dataclasses.asdict(row) | {"z": row.z} for row in self.rows]
        return {**dataclasses.asdict(self.predicted), "rows": rows, **beside}

    def __rich__(self) -> Group:
        from rich.console import Group

        return Group(_table(self._intervals(), TITLE), _table(self._likelihoods(), None))

    def __str__(self) -> str:
        lines = [TITLE] if not self.network else [self.network, TITLE]
        return "\n".join([*lines, *_text(self._intervals()), "", *_text(self._likelihoods())])

    def _intervals(self) -> list[tuple[str, ...]]:
        """Header and cells: shares inside the intervals."""
        wide = any(row.infinite is not None for row in self.rows)
        header = ("level", "f in theory's", "in infinite's", "y in theory's", "in sampled's", "in infinite's")
        cells = [
            (
                f"{100 * row.nominal:g} %",
                _share(row.sampled, row.standard_error),
                _share(row.infinite, row.infinite_standard_error),
                _share(row.targets),
                _share(row.targets_sampled),
                _share(row.targets_infinite),
            )
            for row in self.rows
        ]
        kept = range(6) if wide else (0, 1, 3, 4)
        return [tuple(line[i] for i in kept) for line in (header, *cells)]

    def _likelihoods(self) -> list[tuple[str, ...]]:
        """Header and cells: what each law says of the data."""
        sampled = f"{self.sampled_negative_log_likelihood:.5f} ± {self.standard_error:.5f}"
        likelihood = (_number(self.predicted.negative_log_likelihood, 5), sampled)
        gain = self.log_evidence_gain
        return [
            ("", "theory", "sampled", "infinite width", "gain"),
            ("negative log likelihood", *likelihood, _number(self.infinite_negative_log_likelihood, 5), ""),
            (
                "log evidence",
                _number(self.log_evidence, 2),
                "",
                _number(self.log_evidence_infinite, 2),
                "" if gain is None else f"{gain:+.2f} nats",
            ),
        ]


def calibration(
    posterior: Any, samples: Any, levels: Sequence[float] = LEVELS, *, infinite: Any = None
) -> CalibrationTable:
    """The predicted intervals, likelihood and evidence beside those of the sampled network and of the data.

    f of the sampled network lies in a predicted interval of level p with probability p where the predicted law is the
    network's own; the targets do where both are the data's.

    Assumes: both belong to the same network, data and temperature.

    Args:
        posterior: what `infer` returned.
        samples: what `sample` returned for the same network, data and temperature, with test targets.
        levels: probabilities between 0 and 1.
        infinite: `infer(..., approximation="infinite")` of the same, to stand beside them.

    Returns:
        A `CalibrationTable`.

    Raises:
        InputError: the two belong to different networks, temperatures or targets; no test targets; a bad level.
    """
    check_same(posterior, samples, "calibration")
    if infinite is not None:
        check_same(infinite, samples, "calibration")
        if infinite.approximation != "infinite":
            raise InputError(
                f'infinite: expected a posterior with approximation="infinite", got {infinite.approximation!r}; '
                "infer it anew."
            )
    if samples.y_test is None:
        raise InputError("calibration: expected samples with X_test and y_test, got none; pass both to ww.sample.")
    X, y = samples.X_test, samples.y_test
    theory = posterior.calibration(X, y, levels)
    wide = None if infinite is None else infinite.calibration(X, y, levels)
    within = _within(posterior, samples, theory.levels)
    within_wide = [None] * len(within) if infinite is None else _within(infinite, samples, theory.levels)
    mean = np.asarray(samples.mean)
    central = np.abs(2.0 * samples.probability_below(np.reshape(y, mean.shape), observed=True) - 1.0)
    rows = [
        Level(
            nominal=level,
            sampled=float(inside.value),
            standard_error=float(inside.standard_error),
            infinite=None if other is None else float(other.value),
            infinite_standard_error=None if other is None else float(other.standard_error),
            targets=theory.coverage[i],
            targets_sampled=float(np.mean(central <= level)),
            targets_infinite=None if wide is None else wide.coverage[i],
            width=theory.width_of_f[i],
            ess=getattr(inside, "ess", None),
            rhat=getattr(inside, "rhat", None),
        )
        for i, (level, inside, other) in enumerate(zip(theory.levels, within, within_wide))
    ]
    likelihood, (evidence, evidence_wide) = samples.negative_log_likelihood, _evidence(posterior)
    return CalibrationTable(
        rows=tuple(rows),
        predicted=theory,
        sampled_negative_log_likelihood=float(likelihood.value),
        standard_error=float(likelihood.standard_error),
        infinite_negative_log_likelihood=None if wide is None else wide.negative_log_likelihood,
        log_evidence=evidence,
        log_evidence_infinite=evidence_wide,
        network=getattr(getattr(posterior, "network", None), "name", ""),
    )


def _within(posterior: Any, samples: Any, levels: Sequence[float]) -> list[Any]:
    """How often the sampled network's f lies in each predicted interval."""
    X, ends = samples.X_test, []
    for start in range(0, len(X), BLOCK):
        prediction = posterior.predict(X[start : start + BLOCK])
        ends.append([prediction.interval(level) for level in levels])
    bounds = [[np.concatenate([block[i][side] for block in ends]) for side in (0, 1)] for i in range(len(levels))]
    return [samples.coverage(lower, upper) for lower, upper in bounds]


def _evidence(posterior: Any) -> tuple[float | None, float | None]:
    """Log evidence of finite and of infinite width, where the approximation has one."""
    try:
        finite = float(posterior.log_evidence)
        return finite, finite - float(posterior.log_evidence_gain)
    except InputError:  # the saddle of a matrix with more rows than the layer has units
        return None, None


def _share(value: float | None, error: float | None = None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if error is None else f"{100 * value:.1f} ± {100 * error:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _text(lines: list[tuple[str, ...]]) -> list[str]:
    wide = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join([line[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(line[1:], wide[1:]))]).rstrip()
        for line in lines
    ]


def _table(lines: list[tuple[str, ...]], title: str | None) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for i, name in enumerate(lines[0]):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for line in lines[1:]:
        table.add_row(*line)
    return table
