"""What Gaussian equivalence leaves out where the order parameter is a matrix: over several outputs, or over patches.

At fixed Q the readout of a neuron is v ~ N(0, Q), one entry for each output (and patch), and the neuron contributes the
fourth cumulant of v·s(φ). So with F of `edgeworth` on the points of all outputs, A = T I + K̄(Q),

    δε = (1/3N) E_v { E_φ F(ψ_vψ_vᵀ) − 3 F(E_φ ψ_vψ_vᵀ) },   ψ_v = Σ_s z_s ψ_s,   v = Q^½ z,   z ~ N(0, I)
    outputs:  ψ_s(x, d) = (Q^½)_ds φ(x)/√λ_1;      patches:  ψ_s(x, d) = Σ_i (Q^½)_{(i,d)s} φ_i(x)/√(λ_1 n)

(one output: E v⁴ = 3Q²). F is quartic in z, so E_z is done by Wick's rule: neurons are drawn, readouts are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.kernels import layers, patch_kernels
from widthwise.kernels.patches import PatchSet
from widthwise.networks import Convolutional, FullyConnected
from widthwise.posterior.edgeworth import NEURONS, Change, Edgeworth, Frame, drawn_features

_ENTRIES = 16_000_000  # of the neurons' features: fewer neurons on more points
_GROUPS = 8  # of neurons, whose spread is the standard error
_LEAST = 512  # neurons of a group
_SIDE = 3000  # rows of a Gram matrix of features at most: with more patches, a group has part of the readouts
_NEGLIGIBLE = 1e-12  # an eigenvalue of Q beside the largest


@dataclass(frozen=True)
class Contracted:
    """What F sees of neurons ψ_1 … ψ_S.

    Args:
        along: aᵀψ_s.
        force: gapᵀRψ_s.
        inner: ψ_sᵀA⁻¹ψ_t.
        power: (Rψ_s)ᵀRψ_t.
    """

    along: Float[np.ndarray, "S M"]
    force: Float[np.ndarray, "S M"]
    inner: Float[np.ndarray, "S S M"]
    power: Float[np.ndarray, "S S M"]

    def third(self) -> Float[np.ndarray, "2 M"]:
        """(1/3) E_z of F at δ = ψψᵀ, ψ = Σ z_s ψ_s, summed over the points, in its two parts."""
        a, c, B, P = self.along, self.force, self.inner, self.power
        trace = np.einsum("sm,sm->m", a, a) - np.einsum("ssm->m", B)
        bias = 0.5 * np.einsum("sm,sm->m", c, a) * trace - np.einsum("sm,stm,tm->m", c, B, a)
        crossed = np.einsum("sm,stm,tm->m", a, P, a) - np.einsum("stm,stm->m", P, B)
        return np.stack([bias, 0.5 * np.einsum("ssm->m", P) * trace + crossed])


def edgeworth_outputs(
    network: FullyConnected,
    X: Float[np.ndarray, "P N0"],
    Y: Float[np.ndarray, "P D"],
    X_new: Float[np.ndarray, "n N0"] | None,
    Y_new: Float[np.ndarray, "n D"] | None,
    temperature: float,
    Q: Float[np.ndarray, "D D"],
    *,
    neurons: int = NEURONS,
) -> Edgeworth:
    """How far the error of D outputs of real neurons is from that of Gaussian ones, at first order in 1/N.

    In the eigenvectors of Q the outputs are independent, output r with the kernel q_r K.

    Args:
        network: of one hidden layer.
        X, Y: the training examples.
        X_new, Y_new: the test examples; None for the training error.
        temperature: T.
        Q: the order parameter.
        neurons: drawn, seeded; fewer where there are many points or outputs.
    """
    points = X if X_new is None else np.concatenate([X, X_new])
    K, (q, V) = layers(network, points)[-1].kernel, np.linalg.eigh(Q)
    q, Y, targets = np.maximum(q, 0.0), Y @ V, None if Y_new is None else Y_new @ V
    frames = [
        Frame.of(q[r] * K, Y[:, r], temperature, None if targets is None else targets[:, r]) for r in range(len(q))
    ]
    root = _root(points / math.sqrt(network.precisions[0] * points.shape[1]), network.bias_variances[0])
    count = max(_LEAST, min(neurons, _ENTRIES // (len(points) * len(q))) // _GROUPS)
    P, n, found = len(X), len(frames[0].gap), []
    for group in range(_GROUPS):
        mean, each = np.zeros_like(K), []
        for psi in drawn_features(network.phi, root, network.precisions[1], count, np.random.default_rng(group)):
            mean += psi @ psi.T / count
            each.append(_of_outputs(frames, q, psi[:P], [frame.seen(psi) for frame in frames]).third() / n)
        found.append(_beyond(np.concatenate(each, axis=1), _gaussian_outputs(frames, q, mean)))
    return _of_groups(found, network.widths[0])


def _of_outputs(
    frames: list[Frame], q: Float[np.ndarray, " D"], psi: Float[np.ndarray, "P M"], seen: list[np.ndarray]
) -> Contracted:
    """Neurons of which each output is its own component: `inner` and `power` are diagonal.

    Args:
        frames: of every output.
        q: eigenvalues of Q.
        psi: φ/√λ_1 on the training points.
        seen: R of every output times φ/√λ_1 (n, M).
    """
    D, M = len(q), psi.shape[1]
    along, force = np.empty((D, M)), np.empty((D, M))
    inner, power = np.zeros((D, D, M)), np.zeros((D, D, M))
    for r, (frame, R_psi) in enumerate(zip(frames, seen)):
        along[r], force[r] = math.sqrt(q[r]) * (frame.a @ psi), math.sqrt(q[r]) * (frame.gap @ R_psi)
        inner[r, r] = q[r] * np.einsum("im,im->m", psi, frame.A_inverse @ psi)
        power[r, r] = q[r] * np.einsum("xm,xm->m", R_psi, R_psi)
    return Contracted(along, force, inner, power)


def _gaussian_outputs(frames: list[Frame], q: Float[np.ndarray, " D"], K: Float[np.ndarray, "p p"]) -> Change:
    """E_z F at δ_{(x,s)(x',t)} = √(q_s q_t) z_s z_t K(x, x')."""
    P, n = len(frames[0].a), len(frames[0].gap)
    train, root = K[:P, :P], np.sqrt(q)
    a = np.stack([frame.a for frame in frames], axis=1) * root
    forced = train @ a
    k = a.T @ forced
    traces = np.array([q[s] * float(np.sum(frame.A_inverse * train)) for s, frame in enumerate(frames)])
    bias = variance = 0.0
    for r, frame in enumerate(frames):
        seen = root[r] * (frame.R @ K)
        onto = seen[:, :P]
        change, wick = onto @ a, np.ones(len(q))
        wick[r] = 3.0  # z_r² z_s² averages 1, and 3 where s is r
        e = frame.gap @ change
        own = root[r] * float(np.sum(seen * frame.R))
        bias += 0.5 * (e[r] * float(np.trace(k)) + 2.0 * float(e @ k[:, r]) - e[r] * float(wick @ traces))
        variance += 0.5 * own * float(wick @ (k.diagonal() - traces)) + float(wick @ (change**2).sum(axis=0))
        pulled, squares = frame.gap @ onto, onto.T @ onto
        for s, other in enumerate(frames):
            bias -= wick[s] * q[s] * float(pulled @ (other.A_inverse @ forced[:, r]))
            variance -= wick[s] * q[s] * float(np.sum(other.A_inverse * squares))
    return Change(float(bias) / n, float(variance) / n)


def edgeworth_patches(
    network: Convolutional,
    X: Float[np.ndarray, "P H W C"],
    y: Float[np.ndarray, "P *D"],
    X_new: Float[np.ndarray, "n H W C"] | None,
    y_new: Float[np.ndarray, "n *D"] | None,
    temperature: float,
    Q: Float[np.ndarray, "m m"],
    *,
    neurons: int = NEURONS,
) -> Edgeworth:
    """How far the error of a convolutional layer of real neurons is from that of Gaussian ones, at first order in 1/N.

    Args:
        network: of one layer.
        X, y: the training images and their targets.
        X_new, y_new: the test examples; None for the training error.
        temperature: T.
        Q: the order parameter (n D, n D), entry (i D + d, j D + e) of patches i, j and outputs d, e.
        neurons: drawn, seeded; fewer where there are many points or patches.
    """
    points, P = X if X_new is None else np.concatenate([X, X_new]), len(X)
    Y, Y_new = y.reshape(P, -1), None if y_new is None else y_new.reshape(len(y_new), -1)
    patches, p, D = PatchSet.of(network, points), len(points), Y.shape[1]
    frame = Frame.of(
        _kernel(network, points, Q, D, P), Y.T.ravel(), temperature, None if Y_new is None else Y_new.T.ravel()
    )
    root = _root(patches.vectors.reshape(-1, patches.vectors.shape[2]), network.bias_variances[0])
    q, U = np.linalg.eigh(Q)
    kept = q > _NEGLIGIBLE * q[-1]
    readouts = U[:, kept] * np.sqrt(q[kept])
    parts = list(_parts(readouts, max(1, _SIDE // (p * D)), np.random.default_rng(0)))
    most = _ENTRIES // (p * max(patches.patches, D * parts[0].shape[1]))
    count, found = max(_LEAST, min(neurons, most) // len(parts)), []
    for group, part in enumerate(parts):
        rng = np.random.default_rng(group)
        features = drawn_features(network.phi, root, network.precisions[1] * patches.patches, count, rng)
        found.append(_drawn(frame, (_components(phi, part, D, P) for phi in features), count))
    return _of_groups(found, network.widths[0] / D)  # a frame's mean is over points and outputs


def _kernel(network: Convolutional, points: np.ndarray, Q: np.ndarray, D: int, P: int) -> Float[np.ndarray, "pD pD"]:
    """K_R(Q) over all outputs of all points."""
    kernels = patch_kernels(network, points, skew=D > 1, hold=False)
    n = kernels.patches
    blocks = kernels.cross(Q.reshape(n, D, n, D).transpose(1, 3, 0, 2).reshape(D * D, n, n), points)[0]
    p = len(points)
    K = blocks.reshape(D, D, p, p).transpose(0, 2, 1, 3).reshape(D * p, D * p)
    order = _order(D, p, P)
    return 0.5 * (K + K.T)[np.ix_(order, order)]


def _order(D: int, p: int, P: int) -> np.ndarray:
    """Of D × p points, output-major: the training points of all outputs, then the new ones."""
    rows = np.arange(D * p).reshape(D, p)
    return np.concatenate([rows[:, :P].ravel(), rows[:, P:].ravel()])


def _parts(
    readouts: Float[np.ndarray, "m S"], most: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "m k"]]:
    """The readouts of each group of neurons: all S directions of z, or by turns orthonormal frames of k of them.

    On the sphere a random frame's mean is the whole's; E|z|⁴ = S(S + 2).
    """
    S = readouts.shape[1]
    if most >= S:
        yield from (readouts,) * _GROUPS
        return
    scale = (S * (S + 2) / (most * (most + 2))) ** 0.25
    for _ in range(math.ceil(_GROUPS / (S // most))):
        U = np.linalg.qr(rng.normal(size=(S, S)))[0]
        for start in range(0, S - most + 1, most):
            yield scale * readouts @ U[:, start : start + most]


def _components(
    phi: Float[np.ndarray, "np M"], part: Float[np.ndarray, "m k"], D: int, P: int
) -> Float[np.ndarray, "k pD M"]:
    """ψ_s over all outputs of all points, from the patches' features (patch-major)."""
    n, M = len(part) // D, phi.shape[1]
    p, k = len(phi) // n, part.shape[1]
    weights = part.reshape(n, D, k).transpose(2, 1, 0).reshape(k * D, n)
    psi = (weights @ phi.reshape(n, p * M)).reshape(k, D * p, M)
    return psi if D == 1 else psi[:, _order(D, p, P)]


def _drawn(frame: Frame, components: Iterator[Float[np.ndarray, "k p M"]], count: int) -> Change:
    """`_beyond`, what Gaussian neurons do being E_z F of the mean ψψᵀ given z, F(Σ K_ss) + 2 Σ_st F(K_st)."""
    P, n = len(frame.a), len(frame.gap)
    each: list[np.ndarray] = []
    train = onto = power = np.zeros(())
    for psi in components:
        k, _, M = psi.shape
        seen = np.stack([frame.seen(one) for one in psi])
        psi = np.ascontiguousarray(psi[:, :P])
        solved = np.stack([frame.A_inverse @ one for one in psi])
        inner, squares = np.einsum("sim,tim->stm", psi, solved), np.einsum("sxm,txm->stm", seen, seen)
        each.append(Contracted(frame.a @ psi, frame.gap @ seen, inner, squares).third() / n)
        rows = psi.reshape(k * P, M)
        train = train + (rows @ rows.T / count).reshape(k, P, k, P)
        onto = onto + (seen.reshape(k * n, M) @ rows.T / count).reshape(k, n, k, P)
        power = power + squares.sum(axis=2) / count
    k = len(power)
    whole = frame.of_moments(np.einsum("sisj->ij", train), np.einsum("sxsj->xj", onto), float(np.trace(power)))
    bias, variance = whole
    for s in range(k):
        for t in range(s, k):
            both, times = 0.5 * (onto[s, :, t] + onto[t, :, s]), 2.0 if s == t else 4.0
            one = frame.of_moments(0.5 * (train[s, :, t] + train[t, :, s]), both, float(power[s, t]))
            bias, variance = bias + times * one.bias, variance + times * one.variance
    return _beyond(np.concatenate(each, axis=1), Change(bias, variance))


def _beyond(each: Float[np.ndarray, "2 M"], gaussian: Change) -> Change:
    """The mean of (1/3) E_z F(ψψᵀ) over M neurons, less E_z F at their mean ψψᵀ, no neuron there beside itself."""
    M = each.shape[1]
    bias, variance = (
        float(one) - (M * whole - 3.0 * float(one)) / (M - 1) for one, whole in zip(each.mean(axis=1), gaussian)
    )
    return Change(bias, variance)


def _of_groups(found: list[Change], width: float) -> Edgeworth:
    """Their mean over the width."""
    bias, variance = np.mean(found, axis=0) / width
    spread = np.sum(found, axis=1).std(ddof=1) / width
    return Edgeworth(float(bias), float(variance), float(spread) / math.sqrt(len(found)))


def _root(vectors: Float[np.ndarray, "p d"], bias_variance: float) -> Float[np.ndarray, "p r"]:
    """B with BBᵀ the covariance of pre-activations, of no more columns than rows."""
    B = np.concatenate([vectors, np.full((len(vectors), 1), math.sqrt(bias_variance))], axis=1)
    return B if B.shape[1] <= len(B) else np.asarray(np.linalg.qr(B.T, mode="r")).T
