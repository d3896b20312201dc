"""How the representation moved: the posterior mean Gram matrix of a hidden layer, and its alignment with the targets.

Given the readout the output is linear in the features, so that what the data say of f they say of the Gram matrix:

    ⟨ΦΦᵀ⟩/(λ_1 N_1) = K + (1/N_1) Σ_de Q_de K (a_d a_eᵀ − [A⁻¹]_de) K,   A = T I + Q ⊗ K,  a = A⁻¹y,  over p(Q | D)

and layer by layer of a deep linear network, in units of the output's K, with R_ℓ = Q_ℓ ⋯ Q_L for one output:

    G_ℓ = (1 − r_ℓ/N_ℓ) G_{ℓ−1} + (1/N_ℓ) Σ_de [R_ℓ⁻¹]_de ⟨f_d f_eᵀ⟩,   r_ℓ = rank R_ℓ,  G_0 = K

(the N_ℓ − r_ℓ neurons that the readout does not see follow the layer below). All exact for the identity. An observable:
nothing predicts with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from widthwise.actions.chain import ChainPrior
from widthwise.activations.duals import dual_of
from widthwise.errors import InputError
from widthwise.kernels import training_kernel
from widthwise.kernels.patches import PatchSet
from widthwise.kernels.tangent import mirror, pull_symmetric
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.numerics.lapack import cholesky_solve
from widthwise.posterior import checks
from widthwise.posterior.outputs import OutputsLaw, eigenvalues
from widthwise.posterior.patches import PatchLaw
from widthwise.posterior.scalar import ScalarLaw
from widthwise.posterior.sources import AbstractSource, Inputs, is_linear

if TYPE_CHECKING:
    from widthwise.posterior.posterior import Posterior

OneKernel = ScalarLaw | OutputsLaw


@dataclass(frozen=True)
class Alignment:
    """Kernel–target alignment of a layer's Gram matrix on the training points, between −1 and 1.

    Args:
        before: of the prior's Gram matrix, the NNGP kernel.
        after: of the posterior mean Gram matrix.
    """

    before: float
    after: float


def alignment(posterior: Posterior, layer: int | None, *, centred: bool) -> Alignment:
    """⟨K, YYᵀ⟩_F/(‖K‖_F ‖YYᵀ‖_F) of a layer before and after the data: `Posterior.alignment`."""
    source, Y = posterior.law.source, posterior.targets.reshape(len(posterior.targets), -1)
    depth = _layer(posterior.network, layer)
    before, after = prior_kernel(source, source.X, None, depth), _gram(posterior, source.X, None, depth)
    return Alignment(target_alignment(before, Y, centred=centred), target_alignment(after, Y, centred=centred))


def target_alignment(K: Float[np.ndarray, "P P"], Y: Float[np.ndarray, "P D"], *, centred: bool = False) -> float:
    """⟨K, YYᵀ⟩_F/(‖K‖_F ‖YYᵀ‖_F).                                          [Cristianini et al. 2001, NeurIPS 14]

    Args:
        K: symmetric.
        Y: targets.
        centred: whether mean feature and mean target are taken off first.     [Cortes et al. 2012, arXiv 1203.0550]
    """
    if centred:
        K = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()
        Y = Y - Y.mean(axis=0)
    size = float(np.linalg.norm(K)) * float(np.linalg.norm(Y.T @ Y))
    if size == 0.0:
        raise InputError("alignment: expected features and targets that vary, got constant ones; pass centred=False.")
    return float(np.sum(Y * (K @ Y))) / size


def feature_kernel(posterior: Posterior, X1: Any, X2: Any, layer: int | None) -> Float[np.ndarray, "n m"]:
    """⟨ΦΦᵀ⟩ of a hidden layer between two sets of inputs: `Posterior.feature_kernel`."""
    network, depth = posterior.network, _layer(posterior.network, layer)
    finite = posterior.approximation != "infinite"
    if finite and not isinstance(network, PrecomputedKernel) and dual_of(network.phi).has_mean:
        raise InputError(
            f"feature_kernel: expected an activation without a mean, got {network.phi.name}, of whose Gram matrix the "
            "Gaussian theory misses the change of scale: no nearer to the sampled one than the NNGP kernel; use "
            "posterior.alignment, which has no scale, or samples.feature_kernel."
        )
    return _gram(posterior, X1, X2, depth)


def _gram(posterior: Posterior, X1: Any, X2: Any, depth: int) -> Float[np.ndarray, "n m"]:
    law, network = posterior.law, posterior.network
    if posterior.approximation == "infinite":
        return prior_kernel(law.source, X1, X2, depth)
    linear = is_linear(network)
    if linear and isinstance(law, PatchLaw) and network.depth == 1:
        return _of_patches(law, X1, X2)
    if not isinstance(law, OneKernel) or (isinstance(law, ScalarLaw) and law.mixture.c is not None):
        dense = isinstance(network, FullyConnected)
        way = 'without biases take closure="global" and approximation="saddle", or ' if dense else ""
        raise InputError(
            f"feature_kernel: expected order parameters that multiply one kernel, or one linear layer of patches, got "
            f"{posterior.approximation!r} of {network.name}, where no formula was verified; {way}sample the network: "
            "samples.feature_kernel."
        )
    if network.depth == 1 or linear:
        return _exact(law, X1, X2, depth)
    return _propagated(law, X1, X2, depth)


# --- before the data --------------------------------------------------------------------------------------------------


def _layer(network: Any, layer: int | None) -> int:
    L = network.depth
    if layer is None:
        return L
    if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not 1 <= layer <= L:
        raise InputError(f"layer: expected a hidden layer from 1 to {L}, got {layer!r}; leave it out for the last.")
    return int(layer)


def _cut(network: FullyConnected, depth: int) -> FullyConnected:
    """Its first hidden layers, read out with the precision of the weights that follow them."""
    lam, biases = network.precisions[: depth + 1], network.bias_variances[:depth]
    return replace(network, widths=network.widths[:depth], weight_precisions=lam, bias_variance=biases)


def _pairs(
    source: AbstractSource, X1: Any, X2: Any
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n P"], Float[np.ndarray, "m P"]]:
    """The kernel between the two sets, and of either with the training points."""
    if not source.pairs:
        if X2 is not None:
            raise InputError("X2: expected nothing with PrecomputedKernel, got an array; pass the kernel as X1.")
        k = source.check(X1, "X1")
        return k, k, source.training().K
    X1 = source.check(X1, "X1")
    k1 = source.cross(X1).k
    if X2 is None:
        return source.among(X1), k1, k1
    X2 = source.check(X2, "X2")
    return source.at(X2).cross(X1).k, k1, source.cross(X2).k


def prior_kernel(source: AbstractSource, X1: Any, X2: Any, depth: int) -> Float[np.ndarray, "n m"]:
    """The NNGP kernel of a hidden layer: `feature_kernel` before the data, or at infinite width."""
    network = source.network
    if depth < network.depth:
        if not isinstance(source, Inputs):
            raise InputError(
                f"layer: expected the last of {network.depth}, got {depth}; of {network.name} no other is known here."
            )
        source = source.of(_cut(network, depth))
    return _pairs(source, X1, X2)[0]


# --- one kernel, multiplied by a number or a matrix -------------------------------------------------------------------


@dataclass(frozen=True)
class _Gains:
    """G = keep K + K B K with B = Σ_g w_g Σ_de gain_de (a_d a_eᵀ − [A⁻¹]_de), in units of the output's K.

    Args:
        keep: averaged over the mixture.
        gain: of each node; (G,) or (G, D, D).
    """

    keep: float
    gain: np.ndarray


def _steps(law: OneKernel) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """Of each layer: N_ℓ, r_ℓ, tr[R_ℓ⁻¹Q] (G,) and Q R_ℓ⁻¹Q, with Q what multiplies K."""
    widths = law.source.network.widths
    if isinstance(law, ScalarLaw):
        Q, layers = law.mixture.Q, law.mixture.layers
        if len(Q) == 1:
            below = np.cumprod(np.vstack([np.ones(1), layers[:-1]]), axis=0)
        else:
            below = np.array([ChainPrior(widths).products_below(math.log(q)) for q in Q]).T
        return [(N, 1, p, Q * p) for N, p in zip(widths, below)]
    D, integrated, Q, found = law.Q.shape[1], len(law.weights) > 1, law.Q, []
    for i, N in enumerate(widths):
        rank = min(D, *widths[i:]) if integrated else D
        q, V = np.linalg.eigh(law.layers[i])
        q, V = np.maximum(q[:, -rank:], np.finfo(float).tiny), V[:, :, -rank:]
        half = Q @ V / np.sqrt(q)[:, None, :]  # Q R^{-1/2}
        back = np.swapaxes(V, 1, 2) @ Q @ V
        trace = (np.einsum("grr->gr", back) / q).sum(axis=1)
        found.append((N, rank, trace, half @ np.swapaxes(half, 1, 2)))
    return found


def _gains(law: OneKernel, depth: int) -> _Gains:
    """The recursion over the first layers."""
    weights = law.mixture.weights if isinstance(law, ScalarLaw) else law.weights
    keep, gain = np.ones(len(weights)), np.zeros(())
    for N, rank, trace, square in _steps(law)[:depth]:
        keep = (1.0 - rank / N) * keep + trace / N
        gain = (1.0 - rank / N) * gain + square / N
    return _Gains(float(weights @ keep), gain)


def _response(law: OneKernel, gain: np.ndarray) -> Float[np.ndarray, "P P"]:
    """B = Σ_g w_g Σ_de gain_de (a_d a_eᵀ − [A⁻¹]_de) in the spectrum's coordinates."""
    engine, T = law.engine, law.temperature
    spectrum, scale = engine.spectrum, engine.scale
    if isinstance(law, ScalarLaw):
        B, I = np.zeros((spectrum.size, spectrum.size)), np.eye(spectrum.size)
        for weight, Q, c in zip(law.mixture.weights, law.mixture.Q, gain):
            a = spectrum.solve_target(scale * float(Q), T)
            B += weight * c * (np.outer(a, a) - spectrum.solve(scale * float(Q), T, I))
        return B
    q, V = np.linalg.eigh(law.Q)
    A = T + scale * eigenvalues(engine)[:, None] * np.maximum(q, 0.0)[:, None, :]
    a = (engine.rotated_targets @ V) / A  # (G, P, D), outputs in Q's eigenvectors
    gain = law.weights[:, None, None] * (np.swapaxes(V, 1, 2) @ gain @ V)
    B = np.einsum("gpr,gqr->pq", a @ gain, a, optimize=True)
    return B - np.diag(np.einsum("grr,gpr->p", gain, 1.0 / A))


def _exact(law: OneKernel, X1: Any, X2: Any, depth: int) -> Float[np.ndarray, "n m"]:
    """One hidden layer, or a linear network at any depth."""
    network, spectrum = law.source.network, law.engine.spectrum
    gains = _gains(law, depth)
    k12, k1, k2 = _pairs(law.source, X1, X2)
    left = spectrum.rotate(np.array(k1.T, order="F"))
    right = left if k2 is k1 else spectrum.rotate(np.array(k2.T, order="F"))
    G = gains.keep * k12 + left.T @ _response(law, gains.gain) @ right
    below = math.prod(network.precisions[depth + 1 :]) if isinstance(network, FullyConnected) else 1.0
    G *= below  # from the output's units to the layer's
    return 0.5 * (G + G.T) if k2 is k1 else G


# --- several non-linear layers ----------------------------------------------------------------------------------------


def _propagated(law: OneKernel, X1: Any, X2: Any, depth: int) -> Float[np.ndarray, "n m"]:
    """G_ℓ = κ[G_{ℓ−1}]/λ_ℓ + (1/N_ℓ) K_ℓ W_ℓ K_ℓ: to leading order in 1/N, each layer's own response carried upwards.

    W_ℓ = J_{ℓ+1}ᵀ ⋯ J_Lᵀ[⟨Q_1 ⋯ Q_{ℓ−1} Q (a aᵀ − A⁻¹)⟩]: what the data say of the output's kernel, pulled back.
    """
    source, network = law.source, law.source.network
    X1 = source.check(X1, "X1")
    X2 = X1 if X2 is None else source.check(X2, "X2")
    n, m, same = len(X1), len(X2), X2 is X1
    Z = np.concatenate([X1, source.X] if same else [X1, X2, source.X])
    dual, lam, spectrum, P = dual_of(network.phi), network.precisions, law.engine.spectrum, source.size
    K = [training_kernel(_cut(network, ell), Z).K for ell in range(1, network.depth)]
    G = np.empty(0)
    for i, (N, _, _, square) in enumerate(_steps(law)[:depth]):
        W = spectrum.rotate_back(np.array(spectrum.rotate_back(_response(law, square)).T, order="F"))
        W = np.ascontiguousarray(0.5 * (W + W.T))
        for j in range(network.depth - 1, i, -1):
            pull_symmetric(dual, np.ascontiguousarray(K[j - 1][-P:, -P:]), W, lam[j + 1])
        mirror(W)
        own = K[i] if i < len(K) else training_kernel(network, Z).K
        if i == 0:
            G = own
        else:
            v = G.diagonal()
            G = dual.kappa(v[:, None], G, v) / lam[i + 1]
            np.fill_diagonal(G, dual.diagonal(v.copy()) / lam[i + 1])
        G = G + own[:, -P:] @ W @ own[-P:] / N
    G = G[:n, :n] if same else G[:n, n : n + m]
    return 0.5 * (G + G.T) if same else G


# --- patches ----------------------------------------------------------------------------------------------------------


def _of_patches(law: PatchLaw, X1: Any, X2: Any) -> Float[np.ndarray, "n m"]:
    """Σ_i κ_ii + (1/N) Σ_i Σ_jk κ_ij ⟨Q_jk (a aᵀ − A⁻¹)⟩ κ_ki, κ divided by λ_1 n: summed over channels and patches.

    Of D outputs Q_jk (a aᵀ − A⁻¹) is Σ_de Q_{jd,ke} (a_d a_eᵀ − [A⁻¹]_de).
    """
    network, source, D, P = law.source.network, law.source, law.outputs, len(law.y)
    X1 = source.check(X1, "X1")
    X2, same = (X1, True) if X2 is None else (source.check(X2, "X2"), False)
    training, first = PatchSet.of(network, source.X), PatchSet.of(network, X1)
    second = first if same else PatchSet.of(network, X2)
    n, everything = training.patches, slice(None)
    checks.estimate_memory(n * max(P, len(X1), len(X2)), copies=4)
    B = np.zeros((n, P, n, P))
    for Q, (weight, R, a) in zip(law.Q, law._factors()):
        M = (np.outer(a, a) - cholesky_solve(R, np.eye(len(R)))).reshape(D, P, D, P)
        B += weight * np.einsum("jdke,dpeq->jpkq", Q.reshape(n, D, n, D), M, optimize=True)
    flat = B.reshape(n * P, n * P)
    left = first.block(everything, training, everything)
    right = left if same else second.block(everything, training, everything)
    G = np.einsum("iris->rs", first.block(everything, second, everything))
    for own, other in zip(left, right):
        G += own.reshape(len(X1), -1) @ flat @ other.reshape(len(X2), -1).T / network.widths[0]
    return 0.5 * (G + G.T) if same else G
