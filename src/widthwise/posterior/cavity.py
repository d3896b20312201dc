"""A few neurons as they are, in a bath of Gaussian ones: the law of one output beyond Gaussian equivalence.

f | Q, W ~ GP(0, Q K + ΦΦᵀ/(λ_1 N)): each draw is a Gaussian process, of a kernel that k neurons have changed
                                                                                          (docs/cavity.md, Derivation)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from widthwise.actions import Cavity, CavityAction, ScalarAction
from widthwise.actions.cavity import activated
from widthwise.errors import InputError
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.posterior import checks
from widthwise.posterior.cavity_reading import Draws, Evidence, read
from widthwise.posterior.certificate import EXACT, Certificate, Validity
from widthwise.posterior.condensed import of_cavity
from widthwise.posterior.engine import Engine
from widthwise.posterior.explicit import Explicit
from widthwise.posterior.fit import Node
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.neurons import InputFrame
from widthwise.posterior.phases import Phase, Specialisation
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.score import Errors
from widthwise.posterior.sources import AbstractSource

_ENTRIES = 2**24  # of features held at a time
_COPIES = 5  # P × P matrices: the eigenvectors, their transpose here and in JAX, and what a factorisation takes


@dataclass(frozen=True)
class CavityLaw(AbstractLaw):
    """K_R = Q K + ΦΦᵀ/(λ_1 N), averaged over draws of k neurons and of their bath.

    Args:
        engine: the training data; its spectrum is in eigenvalues.
        temperature: T.
        settings: how it was sampled.
        W: the neurons' weights, coordinates in the training inputs' span (G, k, r).
        Q: of the bath, S/N (G,).
        weights: of the draws, sum to 1 (G,).
        ladders: which independent ladder each comes from (G,).
        evidence: log p(y | X).
        specialisation: of the neurons.
        phases: sectors of so many specialised neurons.
    """

    engine: Engine = field(repr=False)
    temperature: float
    settings: Cavity
    W: Float[np.ndarray, "G k r"] = field(repr=False)
    Q: Float[np.ndarray, " G"] = field(repr=False)
    weights: Float[np.ndarray, " G"] = field(repr=False)
    ladders: Int[np.ndarray, " G"] = field(repr=False)
    evidence: Evidence
    specialisation: Specialisation
    phases: tuple[Phase, ...]
    kind = "cavity"
    drawn = True

    @property
    def source(self) -> AbstractSource:  # type: ignore[override]
        return self.engine.source

    @property
    def targets(self) -> Float[np.ndarray, " P"]:
        return self.engine.y

    @property
    def solver(self) -> str:
        return self.engine.spectrum.kind

    @property
    def points_at_a_time(self) -> int:
        return max(1, _ENTRIES // (self.W.shape[0] * self.W.shape[1]))

    @cached_property
    def action(self) -> ScalarAction:
        """S(Q) of the theory without explicit neurons."""
        return self.engine.action(self.temperature)

    @cached_property
    def sampled(self) -> CavityAction:
        """The action that was sampled; sampled anew where its draws are asked for and the law came from a file."""
        return cavity_action(self.engine, self.temperature, self.settings)

    @cached_property
    def frame(self) -> InputFrame:
        """Coordinates of the inputs."""
        network: Any = self.engine.network
        return InputFrame.of(network, self.engine.X)

    @cached_property
    def explicit(self) -> Explicit:
        """Every node's Gaussian process on the training points."""
        action = self.sampled
        return Explicit.of(action.values, action.rotated, self.temperature, self.Q, action.features(self.W))

    @property
    def shares(self) -> Float[np.ndarray, "G k"]:
        """q_i = λ_1 ⟨v_i | W⟩²/N of every explicit neuron: its share of Q."""
        return self.explicit.readout**2 / self.sampled.width

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        N, found = self.sampled.width, self.explicit
        own = (found.readout**2 + found.readout_variance).sum(axis=1) / N
        bath = float(self.weights @ self.Q)
        return {"Q": np.array([bath + float(self.weights @ own)]), "Q_bath": np.array([bath])}

    def log_evidence(self, approximation: str) -> float:
        return self.evidence.log_evidence if approximation == "cavity" else super().log_evidence(approximation)

    def validity(self, *, exact: bool) -> Validity:
        terms, width = self.action.terms(self.action.Q), self.sampled.width
        T, P = self.temperature, len(self.targets)
        saddle = (T * T * terms.dual_norm + T * self.action.scale * self.action.Q * terms.trace) / P
        found = of_cavity(self.specialisation, width, self.sampled.neurons, self.training_error().total, saddle)
        verdict, reason = ("sound", EXACT) if exact else found
        return Validity(*self.action.shares, self.specialisation.kurtosis, None, verdict, reason)

    def nodes(self) -> Iterator[Node]:
        found, T = self.explicit, self.temperature
        for weight, a, freedom in zip(self.weights, found.a, found.freedom):
            yield Node(float(weight), T * a, float(freedom))

    def training_error(self) -> Errors:
        return self.fit.errors(len(self.targets), drawn=True, chains=self.ladders)

    def dual_vector(self) -> Float[np.ndarray, " P"]:
        return self.engine.spectrum.rotate_back((self.fit.residual / self.temperature)[:, None])[:, 0]

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        means, variances, full = [], [], None
        start, scale = 0, self.engine.scale
        X = X_new.X if isinstance(X_new, PreparedInputs) else self.source.check(X_new)
        for cross, rotated, prior in self.engine.blocks(X_new, diagonal, covariance):
            n = len(cross.diagonal)
            F_new = self.features(X[start : start + n])
            start += n
            mean, variance = self.explicit.predict(scale * rotated, scale * cross.diagonal, F_new)
            means.append(mean)
            variances.append(variance)
            if prior is not None:
                within = self.explicit.covariance(scale * rotated, scale * prior, F_new)
                centred = mean - self.weights @ mean
                full = np.tensordot(self.weights, within, 1) + (self.weights[:, None] * centred).T @ centred
        m, v = np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        return Prediction.of_mixture(
            self.weights, m, v, self.temperature, covariance=full, drawn=True, chains=self.ladders
        )

    @cached_property
    def _whole(self) -> Float[np.ndarray, "G k M"]:
        return self.frame.whole(self.W, self.settings.seed)

    def features(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "G n k"]:
        """Φ/√(λ_1 N) at any inputs."""
        G, k, M = self._whole.shape
        network: Any = self.engine.network
        Phi = activated(network.phi, self.frame.augmented(X) @ self._whole.reshape(-1, M).T)
        return (Phi / np.sqrt(network.precisions[-1] * network.widths[0])).reshape(-1, G, k).transpose(1, 0, 2)

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n m"]:
        X1 = self.source.check(X1, "X1")
        X2 = X1 if X2 is None else self.source.check(X2, "X2")
        one, two = self.features(X1), self.features(X2)
        bath = float(self.weights @ self.Q) * self.source.at(X2).cross(X1).k
        return bath + np.einsum("g,gnk,gmk->nm", self.weights, one, two, optimize=True)

    def arrays(self) -> dict[str, np.ndarray]:
        told = {
            "evidence": self.evidence._asdict(),
            "specialisation": asdict(self.specialisation),
            "phases": [asdict(phase) for phase in self.phases],
            "settings": asdict(self.settings),
        }
        return {
            "W": self.W,
            "Q": self.Q,
            "weights": self.weights,
            "ladders": self.ladders,
            "told": np.array(json.dumps(told)),
        }

    @classmethod
    def of_arrays(cls, engine: Engine, temperature: float, arrays: dict[str, np.ndarray]) -> CavityLaw:
        """From what a file holds."""
        told = json.loads(str(arrays["told"]))
        return cls(
            engine, temperature, Cavity(**told["settings"]), arrays["W"], arrays["Q"], arrays["weights"],
            arrays["ladders"], Evidence(**told["evidence"]), Specialisation(**told["specialisation"]),
            tuple(Phase(**phase) for phase in told["phases"]),
        )  # fmt: skip


def cavity_action(engine: Engine, temperature: float, settings: Cavity) -> CavityAction:
    """The action of k neurons in their bath, on an engine whose spectrum is in eigenvalues."""
    network: Any = engine.network
    spectrum = engine.spectrum
    if engine.y.ndim == 2:
        raise InputError(f'approximation: "cavity" is for one output, got {engine.y.shape[1]}; use "saddle".')
    if network.widths[-1] < 2:
        raise InputError('approximation: "cavity" expects two neurons or more, got one; use "integrated".')
    if not isinstance(spectrum, EigenSpectrum):
        raise InputError(f"cavity: expected eigenvalues, got {spectrum.kind}; leave solver out.")
    frame = InputFrame.of(network, engine.X)
    return CavityAction(
        network.phi, frame.coordinates(engine.X), engine.scale * spectrum.system.k, spectrum.system.U, engine.y,
        temperature, network.widths[-1], network.precisions[-1], settings,
    )  # fmt: skip


def summarised(action: CavityAction) -> Draws:
    """Shares and training errors of all draws, so many at a time as memory allows."""
    z, T = action.tempered.positions, action.temperature
    C, S, d = z.shape
    W, Q = action.split(z.reshape(-1, d))
    rows = max(1, _ENTRIES // (len(action.values) * action.neurons))
    shares, variance, errors = np.empty(W.shape[:2]), np.empty(W.shape[:2]), np.empty(len(Q))
    for start in range(0, len(Q), rows):
        block = slice(start, start + rows)
        found = Explicit.of(action.values, action.rotated, T, Q[block], action.features(W[block]))
        shares[block] = found.readout**2 / action.width
        variance[block] = found.readout_variance
        errors[block] = T * T * np.sum(found.a**2, axis=1) + T * found.freedom
    return Draws(shares.reshape(C, S, -1), variance.reshape(C, S, -1), Q.reshape(C, S), errors.reshape(C, S))


def infer_cavity(engine: Engine, temperature: float, settings: Cavity, *, throw: bool) -> tuple[CavityLaw, Certificate]:
    """The law of k neurons in their bath, and how it was found.

    Args:
        engine: the training data, with eigenvalues.
        temperature: T.
        settings: how many neurons, how they are sampled.
        throw: whether chains that have not mixed raise.
    """
    checks.estimate_memory(len(engine.y), copies=_COPIES)
    action = cavity_action(engine, temperature, settings)
    found = read(
        action, summarised(action), log_evidence=action.log_evidence_gaussian,
        standard_error=action.tempered.standard_error, throw=throw,
    )  # fmt: skip
    positions = action.tempered.positions
    W, Q = action.split(positions.reshape(-1, positions.shape[-1])[found.nodes])
    law = CavityLaw(
        engine, temperature, settings, W, Q, found.weights, found.ladders, found.evidence, found.specialisation,
        found.phases,
    )  # fmt: skip
    object.__setattr__(law, "sampled", action)
    return law, found.certificate
