"""A few neurons of the last hidden layer as they are, in a bath of Gaussian ones: the law of a deep network's output.

f | ζ, B, Q ~ GP(0, Π_ℓ Q_ℓ K + Q_L J ζΓζᵀ J/λ_L + ΦΦᵀ/(λ_L N_L)),   Φ = φ(ζBᵀ):  two features for each neuron, its own
and what the bath shares with it                                              (actions/cavity_depth.py; docs/cavity.md)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import Cavity
from widthwise.actions.cavity_depth import CavityDepthAction, Parts
from widthwise.activations.duals import dual_of
from widthwise.activations.phi import Activation
from widthwise.networks import FullyConnected
from widthwise.numerics.lapack import symmetric_root
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.posterior.cavity import CavityLaw
from widthwise.posterior.cavity_reading import Draws, check_reservoir, read
from widthwise.posterior.certificate import LAYERS, Certificate, Validity, validity
from widthwise.posterior.engine import Engine
from widthwise.posterior.explicit import Explicit
from widthwise.posterior.outputs import eigenvalues
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.sources import AbstractSource, source_of

_ENTRIES = 2**24  # of features held at a time
_RANK = 1e-12  # of C's largest eigenvalue, below which one is rounding


@dataclass(frozen=True)
class Below:
    """The law of a last-layer pre-activation at infinite width, ζ ~ GP(0, C), from its values on the training inputs.

    Args:
        source: the layers below the last, as a network of their own; its kernel is C.
        phi: the activation.
        values, vectors: of C, those above rounding (r,), (P, r).
    """

    source: AbstractSource
    phi: Activation
    values: Float[np.ndarray, " r"] = field(repr=False)
    vectors: Float[np.ndarray, "P r"] = field(repr=False)

    @classmethod
    def of(cls, network: FullyConnected, X: Float[np.ndarray, "P N0"]) -> Below:
        """For the network's training inputs."""
        below = FullyConnected(network.widths[:-1], network.phi, network.precisions[:-1], network.bias_variances[:-1])
        source = source_of(below, X, copies=2)
        values, vectors = np.linalg.eigh(_symmetric(source.training().K))
        kept = values > _RANK * values[-1]
        return cls(source, network.phi, values[kept], vectors[:, kept])

    @property
    def root(self) -> Float[np.ndarray, "P r"]:
        """R, R Rᵀ = C."""
        return self.vectors * np.sqrt(self.values)

    @property
    def slopes(self) -> Float[np.ndarray, " P"]:
        """J of the training inputs."""
        return self._slopes((self.root**2).sum(axis=1))

    def _slopes(self, c: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """J = E φ'(h), h ~ N(0, c): J J' is what κ gains with the covariance of two that are independent."""
        dual, one = dual_of(self.phi), np.full_like(c, self.values.mean())
        nothing = np.zeros_like(c)
        square = float(dual.partials(one[:1], nothing[:1], one[:1])[1][0])
        return nothing if square <= 0.0 else np.asarray(dual.partials(one, nothing, c)[1]) / np.sqrt(square)

    def slopes_at(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, " n"]:
        """J at any inputs."""
        return self._slopes(self.source.at(X).cross(X).diagonal)

    def at(
        self, X: Float[np.ndarray, "n N0"], zeta: Float[np.ndarray, "G k r"], seed: int, *, together: bool
    ) -> tuple[Float[np.ndarray, "G n k"], Float[np.ndarray, " n"]]:
        """ζ at new points, drawn given its coordinates on the training inputs, and J there.

        Args:
            X: checked.
            zeta: coordinates of ζ.
            seed: of what the training inputs leave open.
            together: whether the points are drawn jointly; else each has its own law alone.
        """
        cross = self.source.cross(X)
        G, k, _ = zeta.shape
        scaled = cross.k @ (self.vectors / np.sqrt(self.values))
        mean = scaled @ np.swapaxes(zeta, 1, 2)
        noise = np.random.default_rng(seed).normal(size=(G, len(X), k))
        if together:
            rest = symmetric_root(self.source.among(X) - scaled @ scaled.T) @ noise
        else:
            rest = np.sqrt(np.maximum(cross.diagonal - (scaled**2).sum(axis=1), 0.0))[:, None] * noise
        return mean + rest, self._slopes(cross.diagonal)


@dataclass(frozen=True)
class CavityDepthLaw(CavityLaw):
    """K_R = Π_ℓ Q_ℓ K + FFᵀ, averaged over draws of k neurons of the last hidden layer and of their bath.

    Args:
        W: coordinates of ζ (G, k, r).
        Q: of the bath, Π_ℓ Q_ℓ (G,).
        B: the neurons' scales below (G, k, k).
        bath: √Q_L Γ^½, what the bath shares with the neurons (G, k, k).
    """

    B: Float[np.ndarray, "G k k"] = field(repr=False, kw_only=True)
    bath: Float[np.ndarray, "G k k"] = field(repr=False, kw_only=True)
    kind = "cavity of layers"

    @cached_property
    def sampled(self) -> CavityDepthAction:  # type: ignore[override]
        """The action that was sampled; sampled anew where its draws are asked for and the law came from a file."""
        return cavity_depth_action(self.engine, self.temperature, self.settings, self.below)

    @cached_property
    def below(self) -> Below:
        """The layers below the last."""
        return Below.of(self.engine.network, self.engine.X)  # type: ignore[arg-type]

    @property
    def parts(self) -> Parts:
        """Every node's."""
        return Parts(self.W, self.B, self.bath, self.Q)

    @cached_property
    def explicit(self) -> Explicit:
        """Every node's Gaussian process on the training points; the neurons are its first k features."""
        return explicit_of(self.sampled, self.parts)

    @property
    def shares(self) -> Float[np.ndarray, "G k"]:
        """q_i = λ_L ⟨v_i | …⟩²/N_L of every explicit neuron: its share of Q_L."""
        return self.explicit.readout[:, : self.W.shape[1]] ** 2 / self.sampled.width

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        """The scale of the bath's kernel, Π_ℓ Q_ℓ, what the neurons' readouts add to Q_L, and their sum, "Q"."""
        found, k = self.explicit, self.W.shape[1]
        own = (found.readout**2 + found.readout_variance)[:, :k].sum(axis=1) / self.sampled.width
        bath, neurons = np.array([self.weights @ self.Q]), np.array([self.weights @ own])
        return {"Q": bath + neurons, "Q_bath": bath, "Q_neurons": neurons}

    def validity(self, *, exact: bool) -> Validity:
        terms, N = self.action.terms(self.action.Q), self.sampled.width
        own = N * float(self.action.layers[-1]) / float(self.action.Q)
        tau = self.action.scale * terms.trace / own
        rho = self.action.scale * terms.dual_energy / own / (1.0 + tau)
        return validity(tau, rho, None, exact=exact, limits=LAYERS)

    def dual_vector(self) -> Float[np.ndarray, " P"]:
        return self.sampled.bath[1] @ self.fit.residual / self.temperature

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        X = X_new.X if isinstance(X_new, PreparedInputs) else self.source.check(X_new)
        rows = len(X) if covariance else self.points_at_a_time
        means, variances, full = [], [], None
        for start in range(0, len(X), rows):
            block = X[start : start + rows]
            cross, F_new = self.bath_kernel(block, self.source.X), self.features(block, together=covariance)
            own = np.einsum("nn->n", self.bath_kernel(block, block))
            rotated = self.sampled.bath[1].T @ cross.T
            mean, variance = self.explicit.predict(rotated, own, F_new)
            means.append(mean)
            variances.append(variance)
            if covariance:
                within = self.explicit.covariance(rotated, self.bath_kernel(block, block), F_new)
                centred = mean - self.weights @ mean
                full = np.tensordot(self.weights, within, 1) + (self.weights[:, None] * centred).T @ centred
        m, v = np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        return Prediction.of_mixture(
            self.weights, m, v, self.temperature, covariance=full, drawn=True, chains=self.ladders
        )

    def bath_kernel(self, X1: Float[np.ndarray, "n N0"], X2: Float[np.ndarray, "m N0"]) -> Float[np.ndarray, "n m"]:
        """K̃ between any inputs."""
        K, below, more = _between(self.source, X1, X2), self.below, self.sampled.retained
        C = _between(below.source, X1, X2)
        J1, J2 = (below.slopes_at(X) for X in (X1, X2))
        return K + more * (K - J1[:, None] * C * J2 / self.sampled.precision)

    def features(self, X: Float[np.ndarray, "n N0"], *, together: bool = True) -> Float[np.ndarray, "G n m"]:
        """[Φ/√(λ_L N_L), √Q_L JζΓ^½/√λ_L] at any inputs.

        Args:
            X: checked.
            together: whether what the training inputs leave open is drawn jointly for all points.
        """
        zeta, slopes = self.below.at(X, self.W, self.settings.seed, together=together)
        return self.sampled.unrotated(self.parts, zeta, slopes)

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n m"]:
        X1 = self.source.check(X1, "X1")
        X2 = X1 if X2 is None else self.source.check(X2, "X2")
        both = self.features(np.concatenate([X1, X2]))
        one, two = both[:, : len(X1)], both[:, len(X1) :]
        kernel = float(self.weights @ self.Q) * self.bath_kernel(X1, X2)
        return kernel + np.einsum("g,gnk,gmk->nm", self.weights, one, two, optimize=True)

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"B": self.B, "bath": self.bath}

    @classmethod
    def of_arrays(cls, engine: Engine, temperature: float, arrays: dict[str, np.ndarray]) -> CavityDepthLaw:
        found = CavityLaw.of_arrays(engine, temperature, arrays)
        own = {name: getattr(found, name) for name in found.__dataclass_fields__}
        return cls(**own, B=arrays["B"], bath=arrays["bath"])


def cavity_depth_action(
    engine: Engine, temperature: float, settings: Cavity, below: Below | None = None
) -> CavityDepthAction:
    """The action of k neurons of the last hidden layer, on an engine whose spectrum is in eigenvalues."""
    network: FullyConnected = engine.network  # type: ignore[assignment]
    spectrum: EigenSpectrum = engine.spectrum  # type: ignore[assignment]
    k = engine.scale * eigenvalues(engine)
    below = below or Below.of(network, engine.X)
    return CavityDepthAction(
        network.phi, below.root, below.slopes, k, spectrum.system.U, engine.y, temperature, network.widths,
        network.precisions[-1], settings,
    )  # fmt: skip


def explicit_of(action: CavityDepthAction, parts: Parts) -> Explicit:
    """The Gaussian process of each draw, in the eigenvectors of the bath's kernel."""
    values, U = action.bath
    return Explicit.of(values, U.T @ action.target, action.temperature, parts.Q, action.features(parts))


def summarised(action: CavityDepthAction) -> Draws:
    """Shares, the bath's Q and training errors of all draws, so many at a time as memory allows."""
    z, T, n = action.tempered.positions, action.temperature, action.neurons
    C, S, d = z.shape
    parts = action.split(z.reshape(-1, d))
    rows = max(1, _ENTRIES // (2 * len(action.values) * n))
    shares, spread, errors = np.empty((C * S, n)), np.empty((C * S, n)), np.empty(C * S)
    for start in range(0, C * S, rows):
        block = Parts(*(part[start : start + rows] for part in parts))
        found = explicit_of(action, block)
        shares[start : start + rows] = found.readout[:, :n] ** 2 / action.width
        spread[start : start + rows] = found.readout_variance[:, :n]
        errors[start : start + rows] = T * T * np.sum(found.a**2, axis=1) + T * found.freedom
    return Draws(shares.reshape(C, S, n), spread.reshape(C, S, n), parts.Q.reshape(C, S), errors.reshape(C, S))


def infer_cavity_depth(
    engine: Engine, temperature: float, settings: Cavity, *, throw: bool
) -> tuple[CavityDepthLaw, Certificate]:
    """The law of k neurons of a deep network's last hidden layer in their bath, and how it was found.

    Args:
        engine: the training data, with eigenvalues; a fully connected network without biases above the first layer.
        temperature: T.
        settings: how many neurons, how they are sampled.
        throw: whether chains that have not mixed raise.
    """
    action = cavity_depth_action(engine, temperature, settings)
    if throw:
        check_reservoir(action.gaussian.draws)
    draws, log_evidence = summarised(action), action.log_evidence_gaussian
    found = read(action, draws, log_evidence=log_evidence, standard_error=action.tempered.standard_error, throw=throw)
    z = action.tempered.positions
    parts = action.split(z.reshape(-1, z.shape[-1])[found.nodes])
    law = CavityDepthLaw(
        engine, temperature, settings, parts.zeta, parts.Q, found.weights, found.ladders, found.evidence,
        found.specialisation, found.phases, B=parts.B, bath=parts.bath,
    )  # fmt: skip
    object.__setattr__(law, "sampled", action)
    return law, found.certificate


def _between(
    source: AbstractSource, X1: Float[np.ndarray, "n N0"], X2: Float[np.ndarray, "m N0"]
) -> Float[np.ndarray, "n m"]:
    """The kernel of any two sets of inputs."""
    return source.among(X1) if X1 is X2 else source.at(X2).cross(X1).k


def _symmetric(K: Float[np.ndarray, "P P"]) -> Float[np.ndarray, "P P"]:
    """Both triangles of a kernel of which the upper one may be all there is."""
    return np.triu(K) + np.triu(K, 1).T
