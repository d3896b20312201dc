"""What Gaussian equivalence leaves out of the errors, at first order in 1/N: the neurons' fourth cumulant.

The theory replaces each neuron's features by Gaussian ones of the same second moments. With K_W the kernel that a
network's drawn features make, every average over the posterior is one over Z(K_W) ∝ N(y; 0, T I + K_W), and to second
order in its fluctuations δ around K̄, K_R at the saddle,

    δ⟨(f_x − y_x)²⟩ = E F_x(δ),   F_x(δ) = 2(μ_x − y_x) [(rᵀδa) g − rᵀδA⁻¹δa] + (rᵀδr) g − rᵀδA⁻¹δr + (rᵀδa)²
    A = T I + K̄,   a = A⁻¹y,   r = e_x − A⁻¹k_x,   μ_x = k_xᵀa,   g = ½ tr[(aaᵀ − A⁻¹)δ]

A neuron of layer ℓ contributes δ = J_L … J_{ℓ+1}[φφᵀ]/N_ℓ, J the derivative of κ; what Gaussian features would do the
theory has accounted for. For one layer this is the strict Edgeworth term of the fourth cumulant κ₄ of √Q φ,

    δ⟨f_x⟩ = [κ₄(r,a,a,a) − 3κ₄(r,a,A⁻¹)]/2N,   δvar = 3κ₄(r,r,aaᵀ − A⁻¹)/2N

Zero for the identity. At loads up to 2 it has the sign of what a sampled network does, and once to twice its size
(docs/truth.md); at load 4 the network is elsewhere. So it serves as an error bar and corrects nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from widthwise.activations import Activation
from widthwise.kernels import Layer, Propagation, carried, layers
from widthwise.networks import FullyConnected

Changes = tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]

NEURONS = 32768  # of a layer, at most
_ENTRIES = 6_000_000  # of their features: fewer neurons on more points
_LEAST = 2048
_BLOCK = 1024  # neurons at a time
_GROUP = 64  # neurons of a lower layer that together make a kernel
_JITTER = 1e-10


class Change(NamedTuple):
    """Of a mean squared error, in its two parts."""

    bias: float
    variance: float


class Edgeworth(NamedTuple):
    """How far the network's error is from the theory's, at first order in 1/N.

    Args:
        bias, variance: of its two parts.
        standard_error: of their sum, from the finite number of neurons drawn.
    """

    bias: float
    variance: float
    standard_error: float

    @property
    def total(self) -> float:
        """bias + variance."""
        return self.bias + self.variance


@dataclass(frozen=True)
class Frame:
    """A Gaussian process conditioned on P examples, as seen by the n points whose error is asked for.

    Args:
        A_inverse: (T I + K̄)⁻¹ among the training points.
        a: A⁻¹y.
        R: rows r over all p points, the training points first.
        gap: 2(μ_x − y_x).
    """

    A_inverse: Float[np.ndarray, "P P"]
    a: Float[np.ndarray, " P"]
    R: Float[np.ndarray, "n p"]
    gap: Float[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        K: Float[np.ndarray, "p p"],
        y: Float[np.ndarray, " P"],
        temperature: float,
        y_new: Float[np.ndarray, " n"] | None,
    ) -> Frame:
        """From K̄ over the training points and then the new ones; without these, seen by the training points."""
        P, T = len(y), temperature
        factor = cho_factor(K[:P, :P] + T * np.eye(P), lower=True)
        A_inverse, a = cho_solve(factor, np.eye(P)), cho_solve(factor, y)
        if y_new is None:
            return cls(A_inverse, a, T * A_inverse, -2.0 * T * a)
        W = cho_solve(factor, K[:P, P:]).T
        R = np.concatenate([-W, np.eye(len(W))], axis=1)
        return cls(A_inverse, a, R, 2.0 * (W @ y - y_new))

    def of_matrix(self, delta: Float[np.ndarray, "p p"]) -> Change:
        """The mean of F_x over the points, at one δ."""
        P = len(self.a)
        onto = self.R @ delta[:, :P]
        return self.of_moments(delta[:P, :P], onto, float(np.sum((self.R @ delta) * self.R)))

    def of_moments(self, train: Float[np.ndarray, "P P"], onto: Float[np.ndarray, "n P"], power: float) -> Change:
        """The same, from what F sees of δ: among the training points, Rδ onto them, and tr RδRᵀ."""
        n = len(self.gap)
        change, g = onto @ self.a, 0.5 * float(self.a @ train @ self.a - np.sum(self.A_inverse * train))
        bias = float(self.gap @ (change * g - onto @ (self.A_inverse @ (train @ self.a))))
        own = power * g - float(np.sum(onto * (onto @ self.A_inverse)))
        return Change(bias / n, (own + float(change @ change)) / n)

    def of_shift(self, delta: Float[np.ndarray, "p p"]) -> Change:
        """What the error does, to first order, when K̄ itself is δ larger."""
        P, n = len(self.a), len(self.gap)
        onto = self.R @ delta
        return Change(float(self.gap @ (onto[:, :P] @ self.a)) / n, float(np.sum(onto * self.R)) / n)

    def seen(self, psi: Float[np.ndarray, "p M"]) -> Float[np.ndarray, "n M"]:
        """Rψ."""
        P = len(self.a)
        return self.R[:, :P] @ psi[:P] + psi[P:] if len(psi) > P else self.R @ psi

    def of_neurons(self, psi: Float[np.ndarray, "P M"], seen: Float[np.ndarray, "n M"]) -> Changes:
        """The mean of F_x over the points at δ = ψψᵀ of each neuron: (gapᵀRψ)(aψ)h + |Rψ|²(h + (aψ)²).

            h = g − ψᵀA⁻¹ψ = ½(aψ)² − (3/2) ψᵀA⁻¹ψ

        Args:
            psi: features on the training points.
            seen: Rψ.
        """
        n, along = len(self.gap), self.a @ psi
        h = 0.5 * along**2 - 1.5 * np.einsum("im,im->m", psi, self.A_inverse @ psi)
        power = np.einsum("xm,xm->m", seen, seen)
        return (self.gap @ seen) * along * h / n, power * (h + along**2) / n

    def of_pushed(self, psi: Float[np.ndarray, "p M"], J: Propagation, signs: Float[np.ndarray, "n M"]) -> Changes:
        """The same at δ = J[ψψᵀ].

        Args:
            psi: features.
            J: from their layer's kernel to the output's.
            signs: ±1 at random, for the trace of RδA⁻¹δRᵀ (Hutchinson 1990, Commun. Stat. Simul. 19, 433).
        """
        P, (n, M) = len(self.a), signs.shape
        push = _Pushed(psi, J)
        forced = push(np.broadcast_to(self.a[:, None], (P, M)))  # δa on all points
        g = 0.5 * (self.a @ forced[:P] - push.trace(self.A_inverse))
        change, back = self.R @ forced, push(self.A_inverse @ forced[:P])
        bias = (self.gap @ change) * g - (self.R.T @ self.gap) @ back
        onto = push(self.R.T @ signs)[:P]
        own = push.trace(self.R.T @ self.R) * g - np.einsum("im,im->m", onto, self.A_inverse @ onto)
        return bias / n, (own + np.einsum("xm,xm->m", change, change)) / n


class _Pushed:
    """δ = J[ψψᵀ] of every neuron, as what it does to vectors."""

    def __init__(self, psi: Float[np.ndarray, "p M"], J: Propagation) -> None:
        self.psi, self.squares, self.J = psi, psi * psi, J

    def __call__(self, v: Float[np.ndarray, "q M"]) -> Float[np.ndarray, "p M"]:
        """δv, v over the first q points."""
        q, own, pair = len(v), self.J.own, self.J.pair
        out = self.squares * (own[:, :q] @ v)
        out += self.psi * (pair[:, :q] @ (self.psi[:q] * v))
        out += own[:q].T @ (self.squares[:q] * v)
        return out

    def trace(self, B: Float[np.ndarray, "q q"]) -> Float[np.ndarray, " M"]:
        """tr Bδ, B over the first q points."""
        q = len(B)
        psi, own = self.psi[:q], 2.0 * (B * self.J.own[:q, :q]).sum(axis=1)
        return own @ self.squares[:q] + np.einsum("im,im->m", psi, (B * self.J.pair[:q, :q]) @ psi)


def edgeworth(
    network: FullyConnected,
    X: Float[np.ndarray, "P N0"],
    y: Float[np.ndarray, " P"],
    X_new: Float[np.ndarray, "n N0"] | None,
    y_new: Float[np.ndarray, " n"] | None,
    temperature: float,
    *,
    product: bool = True,
    neurons: int = NEURONS,
) -> Edgeworth:
    """How far the error of a network of real neurons is from that of Gaussian ones, at first order in 1/N.

    Args:
        network: with the saddle's order parameters in its precisions: λ_ℓ/Q_ℓ, or their product in the last.
        X, y: the training examples.
        X_new, y_new: the test examples; None for the training error.
        temperature: T.
        product: whether the theory's order parameters all multiply the output's kernel, or each its own layer's.
        neurons: drawn, seeded, of the last layer; fewer of those below, and where there are many points.
    """
    points = X if X_new is None else np.concatenate([X, X_new])
    stack = layers(network, points)
    output = stack[-1].kernel
    frame = Frame.of(output, y, temperature, y_new)
    bias = variance = squares = 0.0
    for number, (layer, width) in enumerate(zip(stack, network.widths)):
        count = max(_LEAST, min(neurons, _ENTRIES // len(points)))
        root = _root(network, layer, points if number == 0 else None)
        features = drawn_features(network.phi, root, layer.precision, count, np.random.default_rng(number))
        J = layer.propagation
        if J is None:
            each, settled = last_layer(frame, features, count)
            gaussian = settled
        else:
            below = _Below(network, number + 1, layer.kernel, output)
            each, mean = below.drawn(frame, features, J, count // 4)
            settled = frame.of_matrix(J(mean))
            gaussian = frame.of_matrix(output if product else J(layer.kernel))
            moved = frame.of_shift(below.shift if product else below.shift - below.shift_of_scale())
            bias, variance = bias + moved.bias / width, variance + moved.variance / width
        # less what the neurons' mean does, and less what Gaussian features do: twice F at the kernel
        bias += (float(each[0].mean()) - settled.bias - 2.0 * gaussian.bias) / width
        variance += (float(each[1].mean()) - settled.variance - 2.0 * gaussian.variance) / width
        squares += float(each.sum(axis=0).var()) / (each.shape[1] * width**2)
    return Edgeworth(bias, variance, math.sqrt(squares))


def drawn_features(
    phi: Activation, root: Float[np.ndarray, "p r"], precision: float, count: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "p M"]]:
    """φ(h)/√λ of `count` neurons, h ~ N(0, root rootᵀ), some at a time."""
    for start in range(0, count, _BLOCK):
        h = root @ rng.normal(size=(root.shape[1], min(_BLOCK, count - start)))
        yield np.asarray(phi(h), dtype=float) / math.sqrt(precision)


def last_layer(
    frame: Frame, features: Iterator[Float[np.ndarray, "p M"]], count: int
) -> tuple[Float[np.ndarray, "2 M"], Change]:
    """F of the last layer's neurons in its two parts, and F of their mean."""
    P, n = len(frame.a), len(frame.gap)
    train, onto, power, parts = np.zeros((P, P)), np.zeros((n, P)), 0.0, []
    for psi in features:
        seen = frame.seen(psi)
        psi = psi[:P]
        train += psi @ psi.T / count
        onto += seen @ psi.T / count
        power += float(np.vdot(seen, seen)) / count
        parts.append(np.stack(frame.of_neurons(psi, seen)))
    return np.concatenate(parts, axis=1), frame.of_moments(train, onto, power)


class _Below:
    """A lower layer: its neurons also move the output's kernel on average, κ being curved."""

    def __init__(
        self,
        network: FullyConnected,
        number: int,
        kernel: Float[np.ndarray, "p p"],
        output: Float[np.ndarray, "p p"],
    ) -> None:
        self.network, self.number, self.kernel, self.output = network, number, kernel, output
        self.shift = np.zeros_like(output)  # N times that of N neurons, to first order

    def drawn(
        self, frame: Frame, features: Iterator[Float[np.ndarray, "p M"]], J: Propagation, count: int
    ) -> tuple[Float[np.ndarray, "2 M"], Float[np.ndarray, "p p"]]:
        """F of the neurons in its two parts, and their mean ψψᵀ."""
        rng, n = np.random.default_rng(count), len(frame.gap)
        mean, parts, done, groups = np.zeros_like(self.kernel), [], 0, 0
        for psi in features:
            mean += psi @ psi.T
            parts.append(np.stack(frame.of_pushed(psi, J, rng.choice([-1.0, 1.0], size=(n, psi.shape[1])))))
            for start in range(0, psi.shape[1] - _GROUP + 1, max(_GROUP, psi.shape[1] * _GROUP // 512)):
                drawn = psi[:, start : start + _GROUP]
                K = drawn @ drawn.T / _GROUP
                self.shift += carried(self.network, K, self.number) - self.output - J(K - self.kernel)
                groups += 1
            done += psi.shape[1]
            if done >= count:
                break
        self.shift *= _GROUP / groups
        return np.concatenate(parts, axis=1), mean / done

    def shift_of_scale(self) -> Float[np.ndarray, "p p"]:
        """The same of the theory's Q_ℓ, a number of variance 2/N."""
        h = 1e-2
        up, down = (carried(self.network, (1.0 + s) * self.kernel, self.number) for s in (h, -h))
        return (up + down - 2.0 * self.output) / h**2


def _root(network: FullyConnected, layer: Layer, X: Float[np.ndarray, "p N0"] | None) -> Float[np.ndarray, "p r"]:
    """B with BBᵀ the covariance of the layer's pre-activations; of the first layer from its inputs X."""
    C = layer.covariance
    if X is not None and X.shape[1] < len(C):
        bias = np.full((len(X), 1), math.sqrt(network.bias_variances[0]))
        return np.concatenate([X / math.sqrt(network.precisions[0] * X.shape[1]), bias], axis=1)
    jitter = _JITTER * float(np.trace(C)) / len(C) + float(np.finfo(float).tiny)  # also of inputs that are all zero
    return np.linalg.cholesky(C + jitter * np.eye(len(C)))
