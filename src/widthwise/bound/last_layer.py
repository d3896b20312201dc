"""The last layer's bound for a trained network, its status, and what fresh examples say of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.bound import wording
from widthwise.bound.fresh import examine, through_readout
from widthwise.bound.measurement import Measurement
from widthwise.bound.readout import Readout, fitted
from widthwise.bound.refit import ReadoutBound, judge, of_parts, power
from widthwise.bound.text import plain
from widthwise.bound.wording import Status
from widthwise.errors import InputError
from widthwise.numerics.factors import of_features, precision


@dataclass(frozen=True)
class LastLayerReport:
    """What the last layer's size says of a network's generalisation gap, and whether it may be asked.

    Errors are plain mean squares: sums over the outputs, means over the examples. Their error bars see the noise of
    the examples, the network given; not that of training it again. That of the gap is √(Var(r²)/P + Var(r²)/n), each
    variance of its own examples.

    Args:
        P: training examples.
        features: N_out.
        effective_size: N_eff, the rank of the features with a constant.
        target_power: T_y = ⟨|y − ⟨y⟩|²⟩ of training: a shift of the targets changes nothing.
        asymptotic_bound: 2 N_eff/P, of `relative_gap`.
        trunk_trained: whether the features saw the training targets.
        status: vacuous, outside_assumption, inconclusive or informative; of a fixed trunk as `ReadoutBound`'s.
        reason: why, in words.
        training_error: ε_t of the network.
        generalisation_error: ε_g of the network on fresh examples; None where it was not measured.
        gap: ε_g − ε_t; None likewise.
        relative_gap: gap/T_y; None likewise.
        holds: whether `relative_gap` lies below `asymptotic_bound` by two standard errors, of few
            examples more; None where undecided.
        readout_bound: the readout refitted on the fresh examples; None without them.
        in_sample: the readout refitted on the training examples; None where they trained the trunk.
    """

    P: int
    features: int
    effective_size: int
    target_power: float
    asymptotic_bound: float
    trunk_trained: bool
    status: Status
    reason: str
    training_error: Measurement
    generalisation_error: Measurement | None
    gap: Measurement | None
    relative_gap: Measurement | None
    holds: bool | None
    readout_bound: ReadoutBound | None = field(repr=False)
    in_sample: Readout | None = field(repr=False)

    @property
    def press(self) -> Measurement:
        """Error at training examples left out of the readout's fit, the trunk being fixed.

        Raises:
            InputError: the trunk was trained on them.
        """
        if self.in_sample is None:
            raise InputError(
                "press: expected features that did not see the targets, got a trunk trained on these examples, which "
                "leaving one out of the readout does not undo; pass fresh=(features, targets) and read "
                "readout_bound.press."
            )
        return self.in_sample.press

    def records(self) -> dict[str, Any]:
        """Everything as plain values, for files."""
        return _plain(self)

    def __str__(self) -> str:
        return plain(self)


def last_layer(
    features: Any,
    targets: Any,
    predictions: Any,
    *,
    fresh: Any = None,
    trunk_trained: bool = True,
    ridge: float = 0.0,
    key: int = 0,
) -> LastLayerReport:
    """Report on the last layer's bound: the gap it predicts for quenched features, and what that says of this network.

        (ε_g − ε_t)/T_y ≤ 2 N_eff/P       [Ariosto, Pacelli, Ginelli, Gherardi, Rotondo 2022, arXiv 2201.11022]

    For features that are fixed, or independent of the examples; quadratic loss; P ≫ N_eff, both large. A trunk that was
    trained on the same examples is outside it, and can exceed it by far. Fresh examples measure the network's own gap,
    and a readout refitted on them is inside it again.

    Assumes: `trunk_trained` is told truly: no number can tell.

    Args:
        features: of the last layer, on the training examples (P, N_out), any array.
        targets: (P,) or (P, D), on the loss's own scale.
        predictions: of the network for them, of the same shape.
        fresh: (features, targets) or (features, targets, predictions) of examples that trained nothing. Without
            predictions the network's readout is recovered from its training predictions, where these are linear in
            the features (relative residual below 1e-6, in single precision 1e-3) and P > N_eff.
        trunk_trained: whether the features were trained on these examples.
        ridge: λ ≥ 0 of the refitted readouts, not divided by P.
        key: of the random splits of a refit that interpolates.

    Returns:
        A `LastLayerReport`.

    Raises:
        InputError: arrays that do not fit, numbers that are not finite, targets that do not vary; fresh examples that
            are those of training.
    """
    if not isinstance(trunk_trained, bool | np.bool_):  # None would be "not trained": the strongest claim of all
        raise InputError(f"trunk_trained: expected True or False, got {trunk_trained!r}; True where it is not known.")
    Phi = checks.features(features)
    y = checks.targets(targets, len(Phi))
    f = checks.columns(predictions, len(Phi), "predictions", outputs=y.shape[1])
    if len(Phi) < 2:
        raise InputError("features: expected at least 2 examples, got 1; pass the whole training set.")
    ridge, key = checks.ridge(ridge), checks.whole("key", key, 0)
    T, unit = power(y), precision(features)
    parts = of_features(Phi, True, unit)
    P, N = len(Phi), parts.U.shape[1] + 1
    trained_on = _error(y - f)
    test, readout_bound, why = None, None, "no fresh examples were given"
    if fresh is not None:
        new = examine(fresh, Phi, y, unit)
        g, why = (new.predictions, "") if new.predictions is not None else through_readout(parts, f, new, unit)
        test = None if g is None else _error(new.targets - g)
        again = of_features(new.features, True, new.precision)
        readout_bound = of_parts(again, new.targets, ridge, key, single=np.ndim(fresh[1]) == 1)
    gap = None if test is None else test - trained_on
    relative = None if gap is None else gap / T
    holds = None if relative is None else relative.below(2.0 * N / P)
    in_sample = None if trunk_trained else fitted(parts, y, ridge, True, single=np.ndim(targets) == 1)
    status, reason = _of_trained(P, N, relative) if in_sample is None else judge(in_sample, T, relative)
    return LastLayerReport(
        P=P,
        features=Phi.shape[1],
        effective_size=N,
        target_power=T,
        asymptotic_bound=2.0 * N / P,
        trunk_trained=bool(trunk_trained),
        status=status,
        reason=f"{reason} The gap is not measured: {why}." if why else reason,
        training_error=trained_on,
        generalisation_error=test,
        gap=gap,
        relative_gap=relative,
        holds=holds,
        readout_bound=readout_bound,
        in_sample=in_sample,
    )


def _of_trained(P: int, N: int, relative: Measurement | None) -> tuple[Status, str]:
    if P <= 2 * N:
        return Status.VACUOUS, wording.vacuous(P, N)
    return Status.OUTSIDE_ASSUMPTION, wording.trained(P, N, relative)


def _error(residuals: Float[np.ndarray, "n D"]) -> Measurement:
    return Measurement.of_mean(np.sum(residuals**2, axis=1))


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries of their public fields, without arrays; None for numbers that are not finite."""
    if isinstance(value, Measurement):
        return value.records()
    if dataclasses.is_dataclass(value):
        entries = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if not f.name.startswith("_")}
        return {name: _plain(entry) for name, entry in entries.items() if not isinstance(entry, np.ndarray)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Status) else value
