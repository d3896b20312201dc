"""The theory's own error bar: how far the sampled network's error may be from the predicted one, without sampling.

    half-width/ε = w₁ x/(1 + 2x) + w₂ max(0, ρτ − ½) + w₃/N,   x = (|δbias| + |δvar|)/ε

δ is the neurons' first-order departure from Gaussian ones (`edgeworth`), which overshoots where it is large; ρτ how
deep in the regime where neurons specialise (`Validity`); N the narrowest layer. Where the neurons are not
looked at (several outputs or patches at depth, precomputed kernels) the distance |ε − ε_∞| to infinite width stands in
for δ: a cruder bar. The weights are those of docs/truth.md, where 95 % of the sampled errors of data that were not
fitted to lie inside: `make bench-truth` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from widthwise.errors import InputError
from widthwise.networks import Convolutional, FullyConnected
from widthwise.posterior import checks
from widthwise.posterior.cavity import CavityLaw
from widthwise.posterior.certificate import NUMBER
from widthwise.posterior.edgeworth import Edgeworth, edgeworth
from widthwise.posterior.edgeworth_cavity import edgeworth_cavity
from widthwise.posterior.edgeworth_matrix import edgeworth_outputs, edgeworth_patches
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.layers import LayersLaw
from widthwise.posterior.outputs import OutputsLaw
from widthwise.posterior.patches import PatchLaw
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.scalar import ScalarLaw, infer_scalar
from widthwise.posterior.score import Errors
from widthwise.posterior.sources import is_linear

if TYPE_CHECKING:
    from widthwise.posterior.posterior import Posterior

NORMAL_95 = 1.959964  # half of the central 95 % interval, in standard deviations
_COPIES = 12  # matrices over all points that the neurons take
POINTS = 128  # test points that are looked at, at most


@dataclass(frozen=True)
class Weights:
    """Of what the relative half-width is made of.

    Args:
        neurons: of x/(1 + 2x), x = (|δbias| + |δvar|)/ε.
        beyond: of max(0, ρτ − ½).
        width: of 1/N.
        finite: of |ε − ε_∞|/ε.
    """

    neurons: float = 0.0
    beyond: float = 0.0
    width: float = 0.0
    finite: float = 0.0


# (of the training error, with the neurons known): from `make bench-truth`; tests/posterior/test_error_bar.py finds them
# again in docs/truth.csv
WEIGHTS = {
    (False, True): Weights(neurons=1.866, beyond=0.323, width=0.246),
    (True, True): Weights(neurons=1.619, beyond=0.403, width=0.208),
    (False, False): Weights(width=7.890, finite=0.060),
    (True, False): Weights(width=6.821, finite=0.491),
}


@dataclass(frozen=True)
class Evidence:
    """What an error bar is computed from, none of it sampled.

    Args:
        error: ε, the predicted error.
        infinite: ε_∞, of infinite width.
        product: ρτ at the saddle; zero where the neurons that specialise are explicit.
        width: N of the narrowest layer.
        neurons: what Gaussian neurons leave out; None where they are not looked at.
    """

    error: float
    infinite: float
    product: float
    width: int
    neurons: Edgeworth | None

    def parts(self, weights: Weights) -> dict[str, float]:
        """The half-width's terms by name."""
        shift = abs(self.error - self.infinite)
        parts = {
            "beyond": weights.beyond * self.error * max(0.0, self.product - NUMBER.sound),
            "width": weights.width * self.error / self.width,
            "finite": weights.finite * shift,
        }
        if self.neurons is not None:
            departure = abs(self.neurons.bias) + abs(self.neurons.variance)
            if departure > 0.0:
                parts["neurons"] = weights.neurons * departure * self.error / (self.error + 2.0 * departure)
        return parts


@dataclass(frozen=True)
class ErrorBar:
    """Half of a 95 % interval around a predicted error, for that of the sampled network.

    Args:
        error: the prediction.
        parts: the terms that add up to the half-width: "neurons", "beyond", "width", "finite"; "approximation",
            by how much this approximation is known to be off; "draws", of a matrix Q.
        departure: of real neurons from Gaussian ones, at first order in 1/N and with its sign: the sampled network's
            error less the integrated theory's, too large where it is large; None where the neurons are not looked at.
    """

    error: float
    parts: dict[str, float]
    departure: float | None = None

    @property
    def half_width(self) -> float:
        """Of the interval."""
        return float(sum(self.parts.values()))

    @property
    def relative(self) -> float:
        """Half-width over the error itself."""
        return self.half_width / self.error if self.error else 0.0


class Points(NamedTuple):
    """Where an error is predicted; all None: on the training points."""

    X: Any = None
    y: Any = None
    diagonal: Any = None


TRAINING = Points()


def error_bar(posterior: Posterior, errors: Errors, at: Points = TRAINING) -> ErrorBar | None:
    """The 95 % error bar of the theory on a predicted error.

    Of an approximation that is exact for its network nothing remains but its draws; at infinite width, and for the
    identity's saddle, the distance to what is known to be better is a part.

    Args:
        posterior: of any network and approximation.
        errors: the prediction.
        at: `some` points of the test set; without any the prediction is the training error.

    Returns:
        None where no theory of finite width is known (several convolutional layers that are not linear, several outputs
        with biases at depth), or where the better one that there is has not converged.
    """
    drawn = {} if errors.monte_carlo_error is None else {"draws": NORMAL_95 * errors.monte_carlo_error}
    if posterior.exact:
        return ErrorBar(errors.total, drawn)
    better = _better(posterior)
    if better is None:
        return None
    own, parts, departure = _total(posterior, at), {}, None
    scale = errors.total / own if own else 0.0
    if better is not posterior:
        parts["approximation"] = abs(own - _total(better, at))
    if not better.exact:
        found = evidence(better, at)
        parts |= found.parts(WEIGHTS[at.X is None, found.neurons is not None])
        departure = None if found.neurons is None else scale * found.neurons.total
    return ErrorBar(errors.total, {name: scale * part for name, part in parts.items() if part} | drawn, departure)


def evidence(posterior: Posterior, at: Points) -> Evidence:
    """What the error bar of a finite network's prediction is computed from.

    Args:
        posterior: of any approximation but "infinite".
        at: test points, or none for the training error.
    """
    return Evidence(
        error=_total(posterior, at),
        infinite=_total(companion(posterior, "infinite"), at),
        product=0.0 if isinstance(posterior.law, CavityLaw) else posterior.validity.product,  # specialised: as they are
        width=min(posterior.network.widths),
        neurons=_neurons(posterior.law, at),
    )


def companion(posterior: Posterior, approximation: str | None) -> Posterior:
    """The same network on the same data by another approximation (None: by default); on one spectrum if it can be."""
    from widthwise.posterior.infer import infer, multiplies_one_kernel

    law = posterior.law
    dear = approximation == "integrated" and law.solver == "Cholesky"
    one = isinstance(law, ScalarLaw) and (approximation == "infinite" or multiplies_one_kernel(posterior.network))
    if isinstance(law, ScalarLaw) and one and not dear:
        approximation = approximation or "saddle"
        found, certificate = infer_scalar(law.action, law.engine, approximation, throw=False)
        exact = approximation == "integrated" and is_linear(posterior.network)
        return replace(posterior, approximation=approximation, certificate=certificate, exact=exact, law=found)
    return infer(
        posterior.network, law.source.X, law.targets, temperature=law.temperature, approximation=approximation,
        throw=False,
    )  # fmt: skip


def _better(posterior: Posterior) -> Posterior | None:
    """The theory of finite width that the prediction is judged by: its own, or a better one that there is."""
    linear = is_linear(posterior.network)
    if not linear and posterior.approximation != "infinite":
        return posterior
    try:
        found = companion(posterior, "integrated" if linear else None)
    except InputError:
        return None
    return found if found.certificate.converged else None


def _total(posterior: Posterior, at: Points) -> float:
    """The predicted error at the points."""
    return posterior.training_error.total if at.X is None else posterior.score(at.X, at.y, at.diagonal).total


def some(law: AbstractLaw, at: Points) -> Points:
    """At most `POINTS` test points, evenly spaced: copies, checked and in the shapes of the training examples.

    Args:
        law: of the training examples.
        at: what a score was asked for.
    """
    if at.X is None:
        return at
    X, diagonal = at.X, at.diagonal
    if isinstance(X, PreparedInputs):
        diagonal = None if law.source.pairs else X.cross.diagonal
        X = X.X
    X = np.asarray(X)
    chosen = np.unique(np.linspace(0, len(X) - 1, POINTS).round().astype(int))
    outputs = None if law.targets.ndim == 1 else law.targets.shape[1]
    y = checks.targets(at.y, len(X), "y_test", outputs)
    if diagonal is not None:
        diagonal = np.asarray(diagonal)
        diagonal = (diagonal if diagonal.ndim == 1 else diagonal.diagonal())[chosen]
    return Points(law.source.check(X[chosen]), y[chosen], diagonal)


def _neurons(law: AbstractLaw, at: Points) -> Edgeworth | None:
    """What Gaussian neurons leave out of the error: of one output at any depth, else of one layer."""
    network, T, y = law.source.network, law.temperature, law.targets
    try:
        checks.estimate_memory(len(y) + (0 if at.X is None else len(at.X)), _COPIES)
    except InputError:
        return None  # the cruder bar needs no more than the prediction did
    single = getattr(network, "depth", 0) == 1
    if isinstance(network, Convolutional):
        Q = _patches_order_parameter(law) if single else None
        X_new = None if at.X is None else law.source.check(at.X)
        return None if Q is None else edgeworth_patches(network, law.source.X, y, X_new, at.y, T, Q)
    if not isinstance(network, FullyConnected):
        return None
    if isinstance(law, OutputsLaw):
        Q = law.order_parameters["Q"][0]
        return edgeworth_outputs(network, law.source.X, y, at.X, at.y, T, Q) if single else None
    if isinstance(law, CavityLaw):
        return edgeworth_cavity(law, at.X, at.y) if law.kind == CavityLaw.kind else None
    if not isinstance(law, ScalarLaw | LayersLaw):
        return None
    lam, product = np.array(network.precisions), isinstance(law, ScalarLaw)
    if isinstance(law, ScalarLaw):
        lam[-1] /= law.mixture.mean_Q
    else:
        lam[1:] /= law.order_parameters["Q"]
    dressed = replace(network, weight_precisions=tuple(float(value) for value in lam))
    return edgeworth(dressed, law.source.X, y, at.X, at.y, T, product=product)


def _patches_order_parameter(law: AbstractLaw) -> np.ndarray | None:
    """Q over the patches of one convolutional layer; of a pooled readout, the same on every patch, q/n."""
    network = law.source.network
    if isinstance(law, ScalarLaw) and network.readout == "average":
        n = network.patches(*law.source.X.shape[1:3]).count
        return np.full((n, n), law.mixture.mean_Q / n)
    return law.order_parameters["Q"] if isinstance(law, PatchLaw) else None
