"""A few neurons as they are, in a bath of Gaussian ones: the law of D outputs beyond Gaussian equivalence.

f | Q, W ~ GP(0, Q ⊗ K + I_D ⊗ ΦΦᵀ/(λ_1 N)),   Q = V diag(q) Vᵀ:  in the coordinates V the outputs are independent,
output r with kernel q_r K + ΦΦᵀ/(λ_1 N); every draw is D of the scalar cavity's            (docs/cavity.md, Derivation)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import Cavity, MatrixAction, MonteCarlo
from widthwise.actions.cavity_outputs import CavityOutputsAction
from widthwise.networks import FullyConnected
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.posterior.cavity import CavityLaw
from widthwise.posterior.cavity_reading import Draws, check_reservoir, read
from widthwise.posterior.certificate import MATRIX, Certificate, Validity, neuron_shares, validity
from widthwise.posterior.engine import Engine
from widthwise.posterior.explicit import Explicit
from widthwise.posterior.fit import Node
from widthwise.posterior.neurons import InputFrame
from widthwise.posterior.outputs import action_of, eigenvalues
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs

_ENTRIES = 2**24  # of features held at a time


@dataclass(frozen=True)
class CavityOutputsLaw(CavityLaw):
    """K_R = Q ⊗ K + I_D ⊗ ΦΦᵀ/(λ_1 N), averaged over draws of k neurons and of their bath.

    Args:
        Q: of the bath (G, D, D); all else as in `CavityLaw`.
    """

    Q: Float[np.ndarray, "G D D"] = field(repr=False)
    kind = "cavity of outputs"

    @property
    def targets(self) -> Float[np.ndarray, "P D"]:
        return self.engine.y

    @property
    def points_at_a_time(self) -> int:
        G, k, _ = self.W.shape
        return max(1, _ENTRIES // (G * max(k, self.Q.shape[1]) * self.Q.shape[1]))

    @cached_property
    def action(self) -> MatrixAction:  # type: ignore[override]
        """S(Q) of the theory without explicit neurons."""
        return action_of(self.engine, self.temperature, MonteCarlo(seed=self.settings.seed))

    @cached_property
    def sampled(self) -> CavityOutputsAction:  # type: ignore[override]
        """The action that was sampled; sampled anew where its draws are asked for and the law came from a file."""
        return cavity_outputs_action(self.engine, self.temperature, self.settings)

    @cached_property
    def modes(self) -> tuple[Float[np.ndarray, "G D"], Float[np.ndarray, "G D D"]]:
        """Eigenvalues q (G, D) and eigenvectors V (G, D, D) of every Q."""
        q, V = np.linalg.eigh(self.Q)
        return np.maximum(q, 0.0), V

    @cached_property
    def explicit(self) -> Explicit:
        """Every node's D Gaussian processes on the training points, node by node (G D)."""
        action = self.sampled
        return explicit_of(action, *self.modes, action.features(self.W))

    @property
    def readout(self) -> Float[np.ndarray, "G k D"]:
        """⟨u_i | W⟩, u = √λ_1 v, of every explicit neuron, in the outputs as given."""
        return _in_outputs(self.explicit.readout, self.modes[1])

    @property
    def shares(self) -> Float[np.ndarray, "G k"]:
        """q_i = λ_1 |⟨v_i | W⟩|²/N of every explicit neuron: its share of tr Q."""
        return np.asarray((self.readout**2).sum(axis=2) / self.sampled.width)

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        """⟨λ_1 Σ_i v_i v_iᵀ⟩/N of all neurons, and of the bath's alone, each (1, D, D)."""
        (q, V), u = self.modes, self.readout
        spread = self.explicit.readout_variance.reshape(*q.shape, -1).sum(axis=2)
        own = np.einsum("gkd,gke->gde", u, u) + np.einsum("gdr,gr,ger->gde", V, spread, V)
        bath = np.tensordot(self.weights, self.Q, 1)
        return {"Q": (bath + np.tensordot(self.weights, own, 1) / self.sampled.width)[None], "Q_bath": bath[None]}

    def validity(self, *, exact: bool) -> Validity:
        terms = self.action.data.terms(self.action.Q)
        tau, rho, _ = neuron_shares(terms.trace, terms.dual, self.sampled.width)
        return validity(tau, rho, None, exact=exact, limits=MATRIX)

    def nodes(self) -> Iterator[Node]:
        (q, V), found, T = self.modes, self.explicit, self.temperature
        freedom = found.freedom.reshape(q.shape).sum(axis=1)
        for weight, a, rotation, degrees in zip(self.weights, found.a.reshape(*q.shape, -1), V, freedom):
            yield Node(float(weight), T * (rotation @ a).T, float(degrees))

    def dual_vector(self) -> Float[np.ndarray, "P D"]:
        return self.engine.spectrum.rotate_back(self.fit.residual / self.temperature)

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        means, variances, full = [], [], None
        start, scale, (q, V) = 0, self.engine.scale, self.modes
        X = X_new.X if isinstance(X_new, PreparedInputs) else self.source.check(X_new)
        for cross, rotated, prior in self.engine.blocks(X_new, diagonal, covariance):
            n = len(cross.diagonal)
            F_new = np.repeat(self.features(X[start : start + n]), q.shape[1], axis=0)
            start += n
            mean, own = self.explicit.predict(scale * rotated, scale * cross.diagonal, F_new)
            means.append(np.einsum("gdr,grn->gnd", V, mean.reshape(*q.shape, -1)))
            variances.append(np.einsum("gdr,grn,ger->gnde", V, own.reshape(*q.shape, -1), V))
            if prior is not None:
                full = self._covariance(means[-1], scale * rotated, scale * prior, F_new)
        m, v = np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        return Prediction.of_mixture(
            self.weights, m, np.einsum("gndd->gnd", v), self.temperature, covariance=full, covariances=v, drawn=True,
            chains=self.ladders,
        )  # fmt: skip

    def _covariance(
        self,
        mean: Float[np.ndarray, "G n D"],
        rotated: Float[np.ndarray, "P n"],
        prior: Float[np.ndarray, "n n"],
        F_new: Float[np.ndarray, "GD n k"],
    ) -> Float[np.ndarray, "n D n D"]:
        """Between all outputs of all points, of the whole mixture."""
        D, (_, V), found = self.Q.shape[1], self.modes, self.explicit
        shift = mean - np.tensordot(self.weights, mean, 1)
        total = np.einsum("g,gnd,gme->ndme", self.weights, shift, shift)
        for g, weight in enumerate(self.weights):
            node = slice(g * D, (g + 1) * D)
            within = _part(found, node).covariance(rotated, prior, F_new[node])
            total += weight * np.einsum("dr,rnm,er->ndme", V[g], within, V[g])
        return total

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n D m D"]:
        X1 = self.source.check(X1, "X1")
        X2 = X1 if X2 is None else self.source.check(X2, "X2")
        one, two = self.features(X1), self.features(X2)
        bath = np.einsum("nm,de->ndme", self.source.at(X2).cross(X1).k, np.tensordot(self.weights, self.Q, 1))
        own = np.einsum("g,gnk,gmk->nm", self.weights, one, two, optimize=True)
        return bath + np.einsum("nm,de->ndme", own, np.eye(self.Q.shape[1]))


def _part(found: Explicit, rows: slice) -> Explicit:
    """Some of the draws."""
    parts = {name: getattr(found, name)[rows] for name in ("Q", "F", "scaled", "root", "inner", "a")}
    return replace(found, **parts)


def _in_outputs(u: Float[np.ndarray, "GD k"], V: Float[np.ndarray, "G D D"]) -> Float[np.ndarray, "G k D"]:
    """Readouts in the modes of Q, turned into the outputs as given."""
    return np.einsum("gdr,grk->gkd", V, u.reshape(*V.shape[:2], -1))


def explicit_of(
    action: CavityOutputsAction,
    q: Float[np.ndarray, "G D"],
    V: Float[np.ndarray, "G D D"],
    F: Float[np.ndarray, "G P k"],
) -> Explicit:
    """The D Gaussian processes of each draw, output r of node g at g D + r.

    Args:
        action: the training data.
        q, V: eigenvalues and eigenvectors of each draw's Q.
        F: UᵀΦ/√(λ_1 N).
    """
    nothing, F = np.zeros(len(action.values)), np.repeat(F, q.shape[1], axis=0)
    found = Explicit.of(action.values, nothing, action.temperature, q.ravel(), F)
    Y = np.swapaxes(action.rotated @ V, 1, 2).reshape(q.size, -1)  # each mode has its own targets
    B = np.eye(F.shape[2]) + found.inner
    pull = np.linalg.solve(B, np.swapaxes(found.scaled, 1, 2) @ Y[:, :, None])
    return replace(found, a=(Y - (F @ pull)[:, :, 0]) / found.D)


def cavity_outputs_action(engine: Engine, temperature: float, settings: Cavity) -> CavityOutputsAction:
    """The action of k neurons in their bath, on an engine whose spectrum is in eigenvalues."""
    network: FullyConnected = engine.network  # type: ignore[assignment]
    spectrum: EigenSpectrum = engine.spectrum  # type: ignore[assignment]
    k = engine.scale * eigenvalues(engine)
    frame = InputFrame.of(network, engine.X)
    return CavityOutputsAction(
        network.phi, frame.coordinates(engine.X), k, spectrum.system.U, engine.y,
        temperature, network.widths[-1], network.precisions[-1], settings,
    )  # fmt: skip


def summarised(action: CavityOutputsAction) -> Draws:
    """Shares, tr Q and training errors of all draws, so many at a time as memory allows."""
    z, T, D = action.tempered.positions, action.temperature, action.outputs
    C, S, d = z.shape
    W, Q = action.split(z.reshape(-1, d))
    rows = max(1, _ENTRIES // (len(action.values) * action.neurons * D))
    shares, spread, errors = np.empty(W.shape[:2]), np.empty(W.shape[:2]), np.empty(len(Q))
    for start in range(0, len(Q), rows):
        block = slice(start, start + rows)
        q, V = np.linalg.eigh(Q[block])
        found = explicit_of(action, np.maximum(q, 0.0), V, action.features(W[block]))
        shares[block] = (_in_outputs(found.readout, V) ** 2).sum(axis=2) / action.width
        spread[block] = found.readout_variance.reshape(-1, D, action.neurons).sum(axis=1)
        errors[block] = (T * T * (found.a**2).sum(axis=1) + T * found.freedom).reshape(-1, D).sum(axis=1)
    each = (C, S, action.neurons)
    return Draws(shares.reshape(each), spread.reshape(each), _trace(Q).reshape(C, S), errors.reshape(C, S))


def _trace(Q: Float[np.ndarray, "G D D"]) -> Float[np.ndarray, " G"]:
    return np.trace(Q, axis1=1, axis2=2)


def infer_cavity_outputs(
    engine: Engine, temperature: float, settings: Cavity, *, throw: bool
) -> tuple[CavityOutputsLaw, Certificate]:
    """The law of k neurons in their bath, of D outputs, and how it was found.

    Args:
        engine: the training data (P, D), with eigenvalues.
        temperature: T.
        settings: how many neurons, how they are sampled.
        throw: whether chains that have not mixed raise.
    """
    action = cavity_outputs_action(engine, temperature, settings)
    if throw:
        check_reservoir(action.gaussian.draws)
    draws = summarised(action)
    found = read(
        action, draws, log_evidence=action.log_evidence_gaussian, standard_error=action.log_evidence_error, throw=throw
    )
    z = action.tempered.positions
    W, Q = action.split(z.reshape(-1, z.shape[-1])[found.nodes])
    law = CavityOutputsLaw(
        engine, temperature, settings, W, Q, found.weights, found.ladders, found.evidence, found.specialisation,
        found.phases,
    )  # fmt: skip
    object.__setattr__(law, "sampled", action)
    return law, found.certificate
