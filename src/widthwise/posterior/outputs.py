"""A matrix over the outputs multiplies the kernel: the law of D outputs on one kernel, at any depth.

f | Q ~ GP(0, Q ⊗ K),   Q = V diag(q) Vᵀ:  in the coordinates V the outputs are independent, output r with kernel q_r K
                                                                         [Baglioni et al. 2024, arXiv 2412.15911]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import MatrixAction, MonteCarlo, OutputsTerm
from widthwise.errors import InputError
from widthwise.kernels import CrossKernel
from widthwise.networks import FullyConnected
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.posterior import certificate, checks
from widthwise.posterior.certificate import LAYERS, MATRIX, Certificate, Validity, neuron_shares, validity
from widthwise.posterior.engine import Engine
from widthwise.posterior.fit import Node
from widthwise.posterior.gaussianity import gaussianity
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.sources import AbstractSource


@dataclass(frozen=True)
class OutputsLaw(AbstractLaw):
    """K_R = Q ⊗ K averaged over weighted matrices Q (D, D).

    Args:
        engine: the training data; its spectrum is in eigenvalues.
        temperature: T.
        layers: the order parameters Q_1 … Q_L (L, G, D, D); K_R = Q_1 ⊗ K.
        weights: sum to 1 (G,).
        monte_carlo: how the evidence is integrated, and Q was.
        found: S(Q), its minimum already found; made when needed where it is left out.
    """

    engine: Engine = field(repr=False)
    temperature: float
    layers: Float[np.ndarray, "L G D D"] = field(repr=False)
    weights: Float[np.ndarray, " G"] = field(repr=False)
    monte_carlo: MonteCarlo = field(default_factory=MonteCarlo, repr=False)
    found: MatrixAction | None = field(default=None, repr=False)
    kind = "outputs"
    drawn = True

    @property
    def source(self) -> AbstractSource:  # type: ignore[override]
        return self.engine.source

    @property
    def targets(self) -> Float[np.ndarray, "P D"]:
        return self.engine.y

    @property
    def solver(self) -> str:
        return self.engine.spectrum.kind

    @cached_property
    def action(self) -> MatrixAction:
        """S(Q)."""
        return self.found if self.found is not None else action_of(self.engine, self.temperature, self.monte_carlo)

    @property
    def Q(self) -> Float[np.ndarray, "G D D"]:
        """Q_1 of every node, what multiplies the kernel."""
        return self.layers[0]

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        return {"Q": np.einsum("g,lgde->lde", self.weights, self.layers)}

    def validity(self, *, exact: bool) -> Validity:
        network, along = self.engine.network, None
        # infinite width is judged, as for one output, by the saddle that it leaves out
        one, D = len(self.Q) == 1, self.Q.shape[1]
        Q = self.action.Q if one else np.tensordot(self.weights, self.Q, 1)
        terms = self.action.data.terms(Q)
        tau, rho, direction = neuron_shares(terms.trace, terms.dual, network.widths[-1])
        if isinstance(network, FullyConnected) and network.depth == 1:
            k, q = self._k, float(direction @ Q @ direction)
            a = (self.engine.rotated_targets @ direction) / (self.temperature + q * k)
            a = self.engine.spectrum.rotate_back(a[:, None])[:, 0]
            along = gaussianity(network, self.engine.X, a, q)
        saddle = one and not np.array_equal(self.Q[0], np.eye(D))
        crowding = D / min(network.widths) if saddle else 0.0
        limits = MATRIX if network.depth == 1 else LAYERS
        return validity(tau, rho, along, exact=exact, limits=limits, crowding=crowding)

    @cached_property
    def _k(self) -> Float[np.ndarray, " P"]:
        return self.engine.scale * eigenvalues(self.engine)

    @cached_property
    def _modes(self) -> tuple[Float[np.ndarray, "G D"], Float[np.ndarray, "G D D"]]:
        """Eigenvalues q (G, D) and eigenvectors V (G, D, D) of every Q."""
        q, V = np.linalg.eigh(self.Q)
        return np.maximum(q, 0.0), V

    def _dual(self) -> Float[np.ndarray, "G P D"]:
        """A⁻¹y of every component in its own coordinates: eigenvectors of K times those of Q."""
        q, V = self._modes
        return (self.engine.rotated_targets @ V) / (self.temperature + self._k[:, None] * q[:, None, :])

    def nodes(self) -> Iterator[Node]:
        (q, V), T = self._modes, self.temperature
        residual = T * (self._dual() @ V.transpose(0, 2, 1))  # outputs as given
        fitted = self._k[:, None] * q[:, None, :]
        freedom = (fitted / (T + fitted)).sum(axis=(1, 2))
        for weight, r, degrees in zip(self.weights, residual, freedom):
            yield Node(float(weight), r, float(degrees))

    def dual_vector(self) -> Float[np.ndarray, "P D"]:
        return self.engine.spectrum.rotate_back(self.fit.residual / self.temperature)

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        means, variances, full = [], [], None
        for cross, rotated, prior in self.engine.blocks(X_new, diagonal, covariance):
            mean, own = self._moments(cross, rotated)
            means.append(mean)
            variances.append(own)
            if prior is not None:
                full = self._covariance(mean, rotated, prior)
        m, v = np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        marginal = np.einsum("gndd->gnd", v)
        return Prediction.of_mixture(
            self.weights, m, marginal, self.temperature, covariance=full, covariances=v, drawn=len(self.weights) > 1
        )

    def _moments(
        self, cross: CrossKernel, rotated: Float[np.ndarray, "P n"]
    ) -> tuple[Float[np.ndarray, "G n D"], Float[np.ndarray, "G n D D"]]:
        """Mean (G, n, D) and covariance of the outputs (G, n, D, D) at each point: two matrix products for all G."""
        (q, V), k, scale = self._modes, self._k, self.engine.scale
        (G, D), P, n = q.shape, len(k), rotated.shape[1]
        q = scale * q  # the spectrum's kernel is the network's divided by `scale`
        linear = (q[:, None, :] * self._dual()).transpose(1, 0, 2).reshape(P, G * D)
        mean = (rotated.T @ linear).reshape(n, G, D)
        A = self.temperature + self._k[:, None, None] * (q / scale)
        shrink = ((rotated**2).T @ (q**2 / A).reshape(P, G * D)).reshape(n, G, D)
        own = np.maximum(cross.diagonal[:, None, None] * q - shrink, 0.0)
        return np.einsum("gde,nge->gnd", V, mean), np.einsum("gdr,ngr,ger->gnde", V, own, V)

    def _covariance(
        self, mean: Float[np.ndarray, "G n D"], rotated: Float[np.ndarray, "P n"], prior: Float[np.ndarray, "n n"]
    ) -> Float[np.ndarray, "n D n D"]:
        """Between all outputs of all points, of the whole mixture."""
        (q, V), scale = self._modes, self.engine.scale
        q = scale * q
        centre = np.tensordot(self.weights, mean, 1)
        total = np.zeros((*centre.shape, *centre.shape))
        for g, weight in enumerate(self.weights):
            shift = mean[g] - centre
            total += weight * np.einsum("nd,me->ndme", shift, shift)
            for r, q_r in enumerate(q[g]):
                A = self.temperature + self._k * (q_r / scale)
                own = q_r * prior - (rotated.T * (q_r**2 / A)) @ rotated
                total += weight * np.einsum("nm,d,e->ndme", own, V[g, :, r], V[g, :, r])
        return total

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n D m D"]:
        Q, source = np.tensordot(self.weights, self.Q, 1), self.source
        if not source.pairs:
            if X2 is not None:
                raise InputError("X2: expected nothing with PrecomputedKernel, got an array; pass the kernel as X1.")
            k = checks.real_array("X1", X1, (2,), "(n, P), a kernel")
        else:
            X1 = source.check(X1, "X1")
            X2 = X1 if X2 is None else source.check(X2, "X2")
            k = source.at(X2).cross(X1).k
        return np.einsum("nm,de->ndme", k, Q)

    def arrays(self) -> dict[str, np.ndarray]:
        how = np.array(astuple(self.monte_carlo))
        return {"layers": self.layers, "weights": self.weights, "monte_carlo": how}


def eigenvalues(engine: Engine) -> Float[np.ndarray, " P"]:
    """k of the engine's spectrum, which several outputs need."""
    spectrum = engine.spectrum
    if not isinstance(spectrum, EigenSpectrum):
        raise InputError(
            f'solver: expected "eigenvalues" for several outputs, got {spectrum.kind!r}; leave `solver` out.'
        )
    return spectrum.system.k


def action_of(engine: Engine, temperature: float, monte_carlo: MonteCarlo) -> MatrixAction:
    """The effective action of D outputs on the engine's kernel."""
    data = OutputsTerm(eigenvalues(engine), engine.rotated_targets, temperature, engine.scale)
    return MatrixAction(data, engine.network.widths, monte_carlo)


def infer_outputs(
    engine: Engine, temperature: float, approximation: str, monte_carlo: MonteCarlo | None, *, throw: bool
) -> tuple[OutputsLaw, Certificate]:
    """The law of D outputs, by the approximation named, and how it was found.

    Args:
        engine: the training data, with eigenvalues.
        temperature: T.
        approximation: "saddle", "infinite" or "integrated".
        monte_carlo: how to integrate.
        throw: whether a search that did not converge raises.

    Raises:
        InputError: the two-parameter action, which is one output's.
    """
    if approximation == "two-parameter":
        raise InputError(
            f'approximation: "two-parameter" is for one output, got {engine.y.shape[1]}; use "saddle" or "integrated".'
        )
    how = monte_carlo or MonteCarlo()
    action = action_of(engine, temperature, how)
    kind, D, depth = engine.spectrum.kind, engine.y.shape[1], engine.network.depth
    if approximation == "infinite":
        layers = np.broadcast_to(np.eye(D), (depth, 1, D, D))
        return OutputsLaw(engine, temperature, layers, np.ones(1), how, action), certificate.closed_form(kind)
    layers, weights, found = certificate.of_matrix_action(action, approximation, kind, throw=throw)
    return OutputsLaw(engine, temperature, layers, weights, how, action), found
