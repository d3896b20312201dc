"""Several outputs, or several patches: the effective action of a matrix-valued order parameter, at any depth.

    S(Q) = Σ_r g(log q_r) + (1/N_L) [ log det A + yᵀA⁻¹y ],   A = T I + K_R(Q),   q_r: eigenvalues of Q = Q_1 (m, m)
                                          [Baglioni et al. 2024, arXiv 2412.15911; Aiudi et al. 2025, arXiv 2307.11807]

g(u) = e^u − u for one hidden layer. The prior is a chain of Wishart matrices (`WishartChain`; of several convolutional
layers `PatchHierarchy`); what the data say comes through `AbstractDataTerm`. The saddle is sought over X = log Q,
all symmetric matrices; the integral over Q by HMC in the coordinates of Bartlett's factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from widthwise.actions.data_term import AbstractDataTerm
from widthwise.actions.hierarchy import PatchHierarchy
from widthwise.actions.wishart import WishartChain
from widthwise.errors import InputError, NumericalError
from widthwise.numerics.bridge import Normaliser, bridge
from widthwise.numerics.hamiltonian import hamiltonian, monte_carlo
from widthwise.saddle import Saddle, minimise
from widthwise.saddle.descend import descend, hessian

Vector = Float[np.ndarray, " n"]
Positions = Float[np.ndarray, "C d"]
Matrix = Float[np.ndarray, "m m"]

_FAR = 100.0  # |log q| beyond which nothing is looked for
_PRECONDITIONED = 1000  # coordinates up to which a Laplace approximation shapes the moves
_ASIDE = 0.3  # how far from its minimum a chain starts, in units of the approximation's deviations
_SOFTEST = 0.5  # curvature, in units of the prior's, below which a direction is not believed to be that flat


@dataclass(frozen=True)
class MonteCarlo:
    """How the integral over a matrix-valued order parameter is sampled.

    Args:
        chains: of HMC, moved together.
        draws: of each, after the warm-up.
        warmup: transitions before.
        nodes: order parameters kept of all draws; a prediction averages over them.
        seed: of everything random.
    """

    chains: int = 8
    draws: int = 500
    warmup: int = 200
    nodes: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("chains", 2), ("draws", 8), ("warmup", 1), ("nodes", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}; pass e.g. 500.")


@dataclass(frozen=True)
class OrderParameterDraws:
    """p(Q | D) by draws.

    Args:
        Q: nodes, draws of Q_1 evenly taken from all chains (G, m, m).
        weights: nearly equal, sum to 1, such that the nodes' averages are those of all draws for log det A + yᵀA⁻¹y and
            the entries of Q (of large ones the diagonal) (G,).
        layers: Q_1 … Q_L of each node (L, G, m, m); of several convolutional layers one array each, (G, m_ℓ, m_ℓ).
        acceptance: of the chains' moves.
        ess: effective number of independent draws, the smaller of those of tr Q and of the data's log det A + yᵀA⁻¹y.
        rhat: their larger split R-hat.
        error: relative Monte-Carlo standard error of ⟨tr Q⟩.
    """

    Q: Float[np.ndarray, "G m m"]
    weights: Float[np.ndarray, " G"]
    layers: Float[np.ndarray, "L G m m"] | tuple[np.ndarray, ...]
    acceptance: float
    ess: float
    rhat: float
    error: float


@dataclass(frozen=True)
class _Sampled:
    """What the chains visited: coordinates of the prior, log det A + yᵀA⁻¹y there, and the mean acceptance."""

    z: Float[np.ndarray, "C S d"]
    data: Float[np.ndarray, "C S"]
    acceptance: float


@dataclass(frozen=True)
class MatrixAction:
    """S(Q) of a symmetric positive definite Q.

    Args:
        data: what the data say at a Q.
        widths: N_1 … N_L.
        monte_carlo: how to integrate over Q.
        prior: the law of Q before the data; by default the chain of Wishart matrices of these widths.
    """

    data: AbstractDataTerm
    widths: tuple[int, ...]
    monte_carlo: MonteCarlo = field(default_factory=MonteCarlo)
    prior: WishartChain | PatchHierarchy = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.prior is None:
            object.__setattr__(self, "prior", WishartChain(self.widths, self.data.side))

    @property
    def chain(self) -> WishartChain:
        """The prior, where its saddle is over one matrix.

        Raises:
            InputError: several convolutional layers, whose grids differ.
        """
        if not isinstance(self.prior, WishartChain):
            raise InputError(
                f"the saddle: expected one grid of patches, got {len(self.widths)} convolutional layers, whose order "
                'parameters do not commute; use approximation="integrated".'
            )
        return self.prior

    @property
    def width(self) -> int:
        """N_L, in whose units S is."""
        return self.widths[-1]

    # --- the saddle -----------------------------------------------------------------------------------------------

    def derivatives(self, x: Vector) -> tuple[float, Vector]:
        """S and its gradient at X = log Q, packed as in `pack` (m(m+1)/2,)."""
        u, V = np.linalg.eigh(unpack(x))
        if not float(np.abs(u).max()) < _FAR:
            return math.inf, np.full_like(x, np.inf)
        q = np.exp(u)
        try:
            data = self.data.terms((V * q) @ V.T)
        except NumericalError:
            return math.inf, np.full_like(x, np.inf)
        prior, slopes = self.chain.energy(u)
        # d exp(X) = V (Φ ∘ VᵀdXV) Vᵀ, Φ_rs = (q_r − q_s)/(u_r − u_s)   [Daleckii & Krein 1965]
        Phi = np.sqrt(np.multiply.outer(q, q)) * _sinhc(0.5 * np.subtract.outer(u, u))
        G = Phi * (V.T @ data.gradient @ V) / self.width
        G[np.diag_indices_from(G)] += slopes
        return prior + data.value / self.width, pack(V @ G @ V.T)

    @cached_property
    def saddle(self) -> Saddle:
        """The lowest minimum of S over X = log Q, with every other stationary point met.

        Started from infinite width (Q = I), from Q = I/e and e I, and from one step of the saddle's own equation for
        one layer, Q = I + √Q (−∂(log det A + yᵀA⁻¹y)/∂Q) √Q/N_L, out of Q = I.
        """
        m = self.chain.side
        identity = np.eye(m)
        starts = [np.zeros(m * (m + 1) // 2), pack(-identity), pack(identity)]
        try:
            q, V = np.linalg.eigh(identity - self.data.terms(identity).gradient / self.width)
            starts.append(pack((V * np.log(np.clip(q, 0.1, 10.0))) @ V.T))
        except NumericalError:
            pass  # infinite width is outside the domain: the search says so itself
        return minimise(self.derivatives, starts)

    @cached_property
    def Q(self) -> Matrix:
        """The order parameter at the minimum, Q_1."""
        u, V = np.linalg.eigh(unpack(self.saddle.best.x))
        return (V * np.exp(u)) @ V.T

    @cached_property
    def layers(self) -> Float[np.ndarray, "L m m"]:
        """Q_1 … Q_L at the minimum. Of m = 1 they are the products Q_ℓ Q_{ℓ+1} … Q_L of the scalar theory."""
        return self.chain.layers(self.Q)

    def log_evidence_saddle(self) -> float:
        """Laplace approximation of log ∫ p(Q_1 … Q_L) N(y; 0, A), in the measure Π dQ_ℓ det Q_ℓ^{−(m+1)/2}.

        Raises:
            InputError: a width is less than m.
            NumericalError: S has no proper minimum.
        """
        constants = self.chain.laplace_constant() - 0.5 * self.data.count * math.log(2.0 * math.pi)
        saddle = self.saddle.check("the saddle over Q", "raise the temperature.")
        x, m, L = saddle.best.x, self.data.side, len(self.widths)
        eigenvalues = saddle.best.hessian
        if len(eigenvalues) < len(x):  # the certificate holds but a few
            eigenvalues = np.linalg.eigvalsh(hessian(self.derivatives, x))
        u = np.linalg.eigvalsh(unpack(x))
        # from the orthonormal entries of X to those of H, Q = √Q* exp(H) √Q*
        r, s = np.triu_indices(m, 1)
        to_H = len(r) * math.log(2.0) - 2.0 * float(np.log(_sinhc(0.5 * (u[r] - u[s]))).sum())
        log_det = float(np.log(eigenvalues).sum()) + to_H + self.chain.log_inner_hessian(u)
        volume = 0.5 * (L * len(x) * math.log(4.0 * math.pi / self.width) - log_det)
        return constants - 0.5 * self.width * saddle.best.value + volume

    def log_evidence_infinite(self) -> float:
        """log N(y; 0, T I + K_R(⟨Q⟩)), ⟨Q⟩ = I for one grid: infinite width."""
        return -0.5 * (self.data.terms(self.prior.expected).value + self.data.count * math.log(2.0 * math.pi))

    # --- the integral ---------------------------------------------------------------------------------------------

    @cached_property
    def draws(self) -> OrderParameterDraws:
        """p(Q | D) by HMC: exact up to its Monte-Carlo error, singular Wishart matrices (N < m) included.

        Raises:
            NumericalError: the chains cannot be started.
        """
        z, data = self._sampled.z, self._sampled.data
        C, S, d = z.shape
        B = self.prior.factors(z.reshape(-1, d))
        Q = (B @ np.swapaxes(B, 1, 2)).reshape(C, S, *B.shape[1:2] * 2)
        trace = np.trace(Q, axis1=2, axis2=3)
        about = [monte_carlo(trace), monte_carlo(data)]
        kept = np.linspace(0, S - 1, min(S, max(1, self.monte_carlo.nodes // C))).round().astype(int)
        layers = self.prior.all_layers(z[:, kept].reshape(-1, d))
        weights = calibrated(_features(Q, data, kept))
        return OrderParameterDraws(
            Q=layers[0],
            weights=weights,
            layers=layers,
            acceptance=self._sampled.acceptance,
            ess=min(one.ess for one in about),
            rhat=max(one.rhat for one in about),
            error=about[0].standard_error / about[0].mean,
        )

    @cached_property
    def evidence(self) -> Normaliser:
        """log ∫ p(Q) N(y; 0, A) dQ with its standard error, by bridge sampling on the draws."""
        z, data = self._sampled.z, self._sampled.data
        C, S, d = z.shape
        unique = self.prior.unique
        same = self.prior.same_in(unique, z.reshape(-1, d))  # type: ignore[arg-type]
        values = unique.log_prior(same)[0].reshape(C, S) - 0.5 * data
        found = bridge(
            lambda z: self._log_posterior(z, unique), same.reshape(C, S, -1), values, seed=self.monte_carlo.seed + 1
        )
        return Normaliser(found.log - 0.5 * self.data.count * math.log(2.0 * math.pi), found.standard_error)

    def log_evidence_integrated(self) -> float:
        """log ∫ p(Q) N(y; 0, A) dQ; its standard error is in `evidence`."""
        return self.evidence.log

    def _log_posterior(
        self, z: Positions, prior: WishartChain | PatchHierarchy
    ) -> tuple[Float[np.ndarray, " C"], Positions]:
        """log p(z | D) − log N(z; 0, I), less a constant, and its gradient; −∞ outside the domain."""
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = prior.log_prior(z)
            B = prior.factors(z)
            Q = B @ np.swapaxes(B, 1, 2)
        inside = np.isfinite(value) & np.isfinite(Q).all(axis=(1, 2))
        likelihood, change = np.full(len(z), -np.inf), np.zeros_like(Q)
        likelihood[inside], change[inside] = self._log_likelihood(Q[inside])
        return np.where(inside, value, 0.0) + likelihood, gradient + prior.pull_back(z, change)

    def _log_likelihood(
        self, Q: Float[np.ndarray, "C m m"]
    ) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, "C m m"]]:
        """−½(log det A + yᵀA⁻¹y) and its gradient at each Q; −∞ where A has no factor."""
        try:
            answers = self.data.terms_of_all(Q)
        except NumericalError:
            if len(Q) == 1:
                return np.array([-np.inf]), np.zeros_like(Q)
            values, gradients = zip(*(self._log_likelihood(one[None]) for one in Q))
            return np.concatenate(values), np.concatenate(gradients)
        values = np.array([-0.5 * one.value for one in answers])
        return values, np.array([-0.5 * one.gradient for one in answers]).reshape(Q.shape)

    def _shaped(
        self, xi: Positions, centre: Vector, W: Float[np.ndarray, "d d"]
    ) -> tuple[Float[np.ndarray, " C"], Positions]:
        """The same of ξ, z = centre + W ξ, relative to N(ξ; 0, I); log det W is left out."""
        z = centre + xi @ W.T
        value, gradient = self._log_posterior(z, self.prior)
        return value + 0.5 * ((xi * xi).sum(axis=1) - (z * z).sum(axis=1)), (gradient - z) @ W + xi

    @cached_property
    def _sampled(self) -> _Sampled:
        how, d = self.monte_carlo, self.prior.dimension
        rng = np.random.default_rng(how.seed)

        def energy(z: Vector) -> tuple[float, Vector]:
            value, gradient = self._log_posterior(z[None], self.prior)
            return float(0.5 * z @ z - value[0]), z - gradient[0]

        # every chain rolls down from its own place: modes far apart would show in R-hat
        ends = [descend(energy, z, tolerance=1e-4) for z in rng.normal(size=(how.chains, d))]
        ends = [end for end in ends if np.isfinite(end[1])]
        if not ends:
            raise NumericalError("the integral over Q: no place to start the chains from; raise the temperature.")
        bottom = min(ends, key=lambda end: end[1])[0]
        centre, W = self._shape(bottom, hessian(energy, bottom) if d <= _PRECONDITIONED else np.eye(d))
        start = np.array([ends[i % len(ends)][0] for i in range(how.chains)])
        start = np.linalg.solve(W, (start - centre).T).T + _ASIDE * rng.normal(size=start.shape)
        start[~np.isfinite(self._shaped(start, centre, W)[0])] = np.linalg.solve(W, bottom - centre)
        chains = hamiltonian(
            lambda xi: self._shaped(xi, centre, W), start, draws=how.draws, warmup=how.warmup, seed=how.seed
        )
        xi = chains.positions
        z = centre + xi @ W.T
        prior = self.prior.log_prior(z.reshape(-1, d))[0].reshape(z.shape[:2])
        data = 2.0 * (prior + 0.5 * ((xi * xi).sum(axis=2) - (z * z).sum(axis=2)) - chains.log_density)
        return _Sampled(z, data, chains.acceptance)

    def _shape(self, centre: Vector, curvature: Float[np.ndarray, "d d"]) -> tuple[Vector, Float[np.ndarray, "d d"]]:
        """Each layer's Gaussian approximation, to move by: its centre and a root of its covariance.

        A Gaussian factor may be rotated from the right without changing Q_1: the approximation is averaged over these
        rotations, which leaves a covariance of its rows, about zero.
        """
        centre, W = centre.copy(), np.zeros_like(curvature)
        for block in self.prior.blocks:
            own = slice(block.first, block.first + block.size)
            H = curvature[own, own]
            if not block.triangular:
                centre[own] = 0.0
                H = H.reshape(2 * (block.rows, block.columns)).trace(axis1=1, axis2=3) / block.columns
            lam, V = np.linalg.eigh(H)
            root = V / np.sqrt(np.maximum(lam, _SOFTEST))
            W[own, own] = root if block.triangular else np.kron(root, np.eye(block.columns))
        return centre, W


def _features(
    Q: Float[np.ndarray, "C S m m"], data: Float[np.ndarray, "C S"], kept: Int[np.ndarray, " s"]
) -> Float[np.ndarray, "G n"]:
    """What the nodes shall average to zero: deviations from the mean over all draws, in units of their spread."""
    m, nodes = Q.shape[2], len(Q) * len(kept)
    r, s = np.triu_indices(m) if m * (m + 1) < nodes // 4 else (np.arange(m), np.arange(m))
    if 8 * len(r) > nodes:
        r = s = np.array([], dtype=int)
    x = np.concatenate([Q[:, :, r, s], data[:, :, None]], axis=2)
    spread = x.std(axis=(0, 1))
    x = (x - x.mean(axis=(0, 1))) / np.where(spread > 0.0, spread, 1.0)
    return x[:, kept].reshape(nodes, -1)


def calibrated(features: Float[np.ndarray, "G n"]) -> Float[np.ndarray, " G"]:
    """The weights nearest to equal ones (in relative entropy) with which every feature averages to zero.

    w_g ∝ exp(λ·x_g), λ the minimum of the convex log Σ_g exp(λ·x_g); equal weights where there is none.
    """

    def dual(lam: Vector) -> tuple[float, Vector]:
        exponent = features @ lam
        top = float(exponent.max())
        w = np.exp(exponent - top)
        total = float(w.sum())
        return top + math.log(total), features.T @ w / total

    lam, _, slope = descend(dual, np.zeros(features.shape[1]), tolerance=1e-9, steps=200)
    if float(np.abs(slope).max()) > 1e-4:
        return np.full(len(features), 1.0 / len(features))
    w = np.exp(features @ lam - float((features @ lam).max()))
    return w / w.sum()


def pack(X: Matrix) -> Vector:
    """A symmetric matrix as a vector of the same norm (m(m+1)/2,): off the diagonal times √2."""
    r, s = np.triu_indices(len(X))
    return np.where(r == s, 1.0, math.sqrt(2.0)) * X[r, s]


def unpack(x: Vector) -> Matrix:
    """The inverse of `pack`."""
    m = (math.isqrt(8 * len(x) + 1) - 1) // 2
    r, s = np.triu_indices(m)
    X = np.empty((m, m))
    X[r, s] = np.where(r == s, 1.0, math.sqrt(0.5)) * x
    X[s, r] = X[r, s]
    return X


def _sinhc(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """sinh x/x."""
    return np.where(x == 0.0, 1.0, np.sinh(x) / np.where(x == 0.0, 1.0, x))
