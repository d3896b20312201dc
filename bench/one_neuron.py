"""Two candidates beyond Gaussian neurons that do not work, kept so that this can be seen again (docs/cavity.md).

    python bench/one_neuron.py --data FOLDER        # both beside the exact theory of the linear network, and beside erf

**The self-consistent one-neuron law.** One neuron in the mean field of the others, its readout integrated out:

    ω(w) ∝ p(w) e^{E(w)},   E = −½ log(1 + s/λ_1) + g²/(2N(λ_1 + s)),   g = aᵀφ(w),   s = φ(w)ᵀRφ(w)/N
    K_w = E_ω[φφᵀ/(λ_1 + s)],   C = E_ω[φφᵀ(1/(λ_1 + s) + g²/(N(λ_1 + s)²))] − ⟨f⟩⟨f⟩ᵀ/N,   ⟨f⟩ = K_w a
    a = (T + cK_w)⁻¹y,   R = (T + cC)⁻¹,   c = (N − 1)/N

a fixed point of two matrices, found by tempered draws of w and running averages. It is wrong for the identity, where
the network is known exactly: averages over Q do not factorise into those of its neurons once one of them can be large.

**The κ₄ kernel.** The saddle with its features' fourth cumulant added to the kernel:

    K_eff = Q [K + (Q/2N) κ₄:M],   κ₄:M = E[φφᵀ(φᵀMφ)] − K tr MK − 2KMK,   M = aaᵀ − A⁻¹,   A = T I + QK,   a = A⁻¹y
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

import widthwise as ww
from widthwise.activations.phi import Activation


@dataclass(frozen=True)
class Predicted:
    """A mean predictor with its variances.

    Args:
        mean, variance: of f at the test points (n,).
        fitted, spread: of f at the training points (P,).
    """

    mean: np.ndarray
    variance: np.ndarray
    fitted: np.ndarray
    spread: np.ndarray


class Data(NamedTuple):
    """What E(w) is made of: the training inputs' coordinates, a, R, N and λ_1."""

    C: Any
    a: Any
    R: Any
    N: Any
    precision: Any


def _energy(phi: Activation, w: Any, data: Data) -> Any:
    """E(w)."""
    f = phi(data.C @ w)
    g, s = data.a @ f, f @ (data.R @ f) / data.N
    return -0.5 * jnp.log1p(s / data.precision) + g * g / (2.0 * data.N * (data.precision + s))


@partial(jax.jit, static_argnums=0)
def _moved(phi: Activation, data: Data, key: Any, w: Any, betas: Any, sizes: Any, parity: Any) -> tuple[Any, ...]:
    """One transition of all walkers of all levels: HMC of p(w)e^{βE}, new at β = 0, half of the neighbours exchanged.

    Returns w (walkers, levels, r), E, the levels' acceptance and the neighbours' chance to exchange.
    """
    keys, levels = jax.random.split(key, 4), w.shape[1]
    of_all = jax.vmap(jax.vmap(jax.value_and_grad(_energy, 1), (None, 0, None)), (None, 0, None))
    w = w.at[:, 0].set(jax.random.normal(keys[0], w[:, 0].shape))
    p, b, e = jax.random.normal(keys[1], w.shape), betas[:, None], sizes[:, None]
    E, slope = of_all(phi, w, data)

    def kick(_: Any, at: Any) -> Any:
        w, p, _, slope = at
        p = p + 0.5 * e * b * slope
        w, p = jnp.cos(e) * w + jnp.sin(e) * p, jnp.cos(e) * p - jnp.sin(e) * w
        E, slope = of_all(phi, w, data)
        return w, p + 0.5 * e * b * slope, E, slope

    v, q, F, _ = jax.lax.fori_loop(0, 8, kick, (w, p, E, slope))
    chance = jnp.exp(jnp.minimum(betas * (F - E) + 0.5 * jnp.sum(w * w + p * p - v * v - q * q, axis=-1), 0.0))
    taken = jax.random.uniform(keys[2], chance.shape) < chance
    w, E = jnp.where(taken[..., None], v, w), jnp.where(taken, F, E)
    swap = jnp.exp(jnp.minimum(-jnp.diff(betas) * jnp.diff(E, axis=1), 0.0))
    swapped = (jax.random.uniform(keys[3], swap.shape) < swap) & (jnp.arange(levels - 1) % 2 == parity)
    at = jnp.arange(levels) + jnp.pad(swapped, ((0, 0), (0, 1))) - jnp.pad(swapped, ((0, 0), (1, 0)))
    w, E = jnp.take_along_axis(w, at[:, :, None], axis=1), jnp.take_along_axis(E, at, axis=1)
    return w, E, chance.mean(axis=0), swap.mean(axis=0)


def coordinates(network: ww.FullyConnected, X: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, ...]:
    """(C, C_test, L): pre-activations are Cw, and C_test w + Lz off the span of the training inputs; w, z ~ N(0, I)."""
    scale = math.sqrt(X.shape[1] * network.precisions[0])
    A, B = X / scale, X_test / scale
    _, s, V = np.linalg.svd(A, full_matrices=False)
    V = V[s > 1e-10 * s[0]].T
    rest = B - (B @ V) @ V.T
    values, vectors = np.linalg.eigh(rest @ rest.T)
    return A @ V, B @ V, vectors * np.sqrt(np.maximum(values, 0.0))


def one_neuron(
    network: ww.FullyConnected, X: np.ndarray, y: np.ndarray, X_test: np.ndarray, T: float, *, rounds: int = 300,
    warmup: int = 120, walkers: int = 128, levels: int = 8, seed: int = 0,
) -> Predicted:  # fmt: skip
    """The self-consistent one-neuron law of one hidden layer.

    Args:
        network: one hidden layer, no biases.
        X, y, X_test: the data.
        T: temperature.
        rounds: of two transitions each; K_w and C are moved a tenth towards their new values in the first `warmup` of
            them, and averaged over the rest.
        warmup: at least 40.
        walkers, levels: of the ladders that find w, between p(w) and ω(w).
        seed: of everything random.
    """
    (N,), lam, P = network.widths, network.precisions[1], len(y)
    C, C_test, L = coordinates(network, X, X_test)
    wide = ww.infer(network, X, y, temperature=T, approximation="infinite")
    K = wide.renormalised_kernel(np.concatenate([X, X_test]), X)
    own = np.concatenate([np.diag(K), _diagonal(wide, X_test)])
    c, I, rng, key = (N - 1) / N, np.eye(P), np.random.default_rng(seed), jax.random.key(seed)
    betas, sizes = np.linspace(0.0, 1.0, levels) ** 1.5, np.full(levels, 0.15)
    w = jax.random.normal(key, (walkers, levels, C.shape[1]))
    K_w, second, power, refused = K, K, own, np.zeros(levels - 1)
    for turn in range(rounds):
        a = np.linalg.solve(T * I + c * _even(K_w[:P]), y)
        f = K_w @ a
        R = _resolvent(c * _even((second - np.outer(f, f[:P]) / N)[:P]), T)
        data = Data(C, a, R, float(N), lam)
        for parity in (0, 1):
            one = jax.random.fold_in(key, 2 * turn + parity)
            w, energy, moved, swap = _moved(network.phi, data, one, w, betas, sizes, parity)
        if turn < warmup:
            sizes = np.clip(sizes * np.exp(0.15 * (np.asarray(moved) - 0.8)), 1e-3, 0.25)
            refused += 1.0 - np.asarray(swap)
            if turn % 20 == 19 and turn < 0.7 * warmup:  # neighbours should refuse equally often
                climbed = np.concatenate([[0.0], np.cumsum(np.maximum(refused / 20, 1e-3))])
                betas = np.interp(np.linspace(0.0, climbed[-1], levels), climbed, betas)
                refused = np.zeros(levels - 1)
        at_one, at_zero = _weights(betas, np.asarray(energy).T)
        W = np.asarray(w).transpose(1, 0, 2).reshape(-1, C.shape[1])
        h = np.concatenate([W @ C.T, W @ C_test.T + rng.normal(size=(len(W), L.shape[1])) @ L.T], axis=1)
        F = np.asarray(network.phi(h))
        g, s = F[:, :P] @ a, np.einsum("wi,wi->w", F[:, :P] @ R, F[:, :P]) / N
        first = at_one / (lam + s)
        both = first + at_one * (g / (lam + s)) ** 2 / N
        # the prior's own draws on the exact kernel: what the law leaves alone has no noise
        share, drift = lam * first.sum(), (F * at_zero[:, None] / lam).T @ F[:, :P] - K
        gain = 0.1 if turn < warmup else 1.0 / (turn - warmup + 10)
        K_w = K_w + gain * ((F * first[:, None]).T @ F[:, :P] - share * drift - K_w)
        second = second + gain * ((F * both[:, None]).T @ F[:, :P] - share * drift - second)
        power = power + gain * (F.T**2 @ both - share * (F.T**2 @ at_zero / lam - own) - power)
    f = K_w @ np.linalg.solve(T * I + c * _even(K_w[:P]), y)
    before, power = second - np.outer(f, f[:P]) / N, power - f * f / N
    R = _resolvent(_even(before[:P]), T)
    variance = power - np.einsum("ij,jk,ik->i", before, R, before)
    return Predicted(f[P:], variance[P:], f[:P], variance[:P])


def _weights(betas: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What every walker of every level weighs at β = 1 and at β = 0 [Shirts & Chodera 2008, J. Chem. Phys. 129]."""
    flat, log_Z = energy.reshape(-1), np.zeros(len(betas))
    for _ in range(40):
        mixture = logsumexp(betas[:, None] * flat - log_Z[:, None], axis=0)
        log_Z = logsumexp(betas[:, None] * flat - mixture, axis=1)
        log_Z -= log_Z[0]
    found = [np.exp(beta * flat - mixture) for beta in (1.0, 0.0)]
    return found[0] / found[0].sum(), found[1] / found[1].sum()


def kappa4(
    network: ww.FullyConnected, X: np.ndarray, y: np.ndarray, X_test: np.ndarray, T: float, *, neurons: int = 2**17,
    seed: int = 0,
) -> Predicted:  # fmt: skip
    """The κ₄ kernel's prediction, its cumulant from `neurons` draws of the prior.

    Args: as `one_neuron`.
    """
    (N,), P = network.widths, len(y)
    saddle = ww.infer(network, X, y, temperature=T, approximation="saddle")
    Q = float(saddle.order_parameters["Q"][0])
    points = np.concatenate([X, X_test])
    QK = saddle.renormalised_kernel(points, X)
    A_inverse = np.linalg.inv(T * np.eye(P) + QK[:P])
    M = np.outer(A_inverse @ y, A_inverse @ y) - A_inverse
    rng, block, p = np.random.default_rng(seed), 4096, len(points)
    drawn, third, own, own_third, trace = np.zeros((p, P)), np.zeros((p, P)), np.zeros(p), np.zeros(p), 0.0
    root = math.sqrt(network.precisions[0] * X.shape[1])
    for _ in range(neurons // block):
        F = np.asarray(network.phi(points @ rng.normal(size=(X.shape[1], block)) / root))
        F *= math.sqrt(Q / network.precisions[1])
        q = np.einsum("im,im->m", F[:P], M @ F[:P])
        drawn += F @ F[:P].T
        third += (F * q) @ F[:P].T
        own, own_third, trace = own + np.sum(F * F, axis=1), own_third + np.sum(F * F * q, axis=1), trace + q.sum()
    K, third, own, own_third, trace = (x / neurons for x in (drawn, third, own, own_third, trace))
    # of the drawn kernel, not the exact one: its noise cancels
    delta = (third - K * trace - 2.0 * K @ M @ K[:P]) / (2.0 * N)
    delta_own = (own_third - own * trace - 2.0 * np.einsum("ij,jk,ik->i", K, M, K)) / (2.0 * N)
    kernel = QK + delta
    diagonal = np.concatenate([np.diag(QK), _diagonal(saddle, X_test)]) + delta_own
    S = np.linalg.inv(T * np.eye(P) + _even(kernel[:P]))
    f, variance = kernel @ (S @ y), diagonal - np.einsum("ij,jk,ik->i", kernel, S, kernel)
    return Predicted(f[P:], variance[P:], f[:P], variance[:P])


def _diagonal(posterior: Any, X: np.ndarray) -> np.ndarray:
    return np.concatenate([np.diag(posterior.renormalised_kernel(part)) for part in np.array_split(X, 8)])


def _even(A: np.ndarray) -> np.ndarray:
    return 0.5 * (A + A.T)


def _resolvent(C: np.ndarray, T: float) -> np.ndarray:
    """(T + C)⁻¹, of C without what noise makes negative."""
    values, vectors = np.linalg.eigh(C)
    return (vectors / (T + np.maximum(values, 0.0))) @ vectors.T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WIDTHWISE_DATA"), help="folder of the files")
    arguments = parser.parse_args()
    from truth_cases import labelled

    names = ("MNIST odd/even", "CIFAR-10", "digits odd/even")
    tasks = [task for name in names for task in labelled(arguments.data and Path(arguments.data)) if task.name == name]
    for task in tasks:
        X, y, X_test, y_test = task.make(64)
        for activation in ("identity", "erf"):
            for N in (64, 16):
                network = ww.FullyConnected((N,), activation)
                posterior = ww.infer(network, X, y, temperature=0.1, approximation="integrated")
                rows = {"integrated": (posterior.score(X_test, y_test).total, posterior.training_error.total)}
                for name, theory in (("one neuron", one_neuron), ("κ₄ kernel", kappa4)):
                    with jax.enable_x64(True):
                        found = theory(network, X, y, X_test, 0.1)
                    errors = (y_test - found.mean) ** 2 + found.variance, (y - found.fitted) ** 2 + found.spread
                    rows[name] = (float(errors[0].mean()), float(errors[1].mean()))
                words = " · ".join(f"{name} {one:.4f}, {two:.4f}" for name, (one, two) in rows.items())
                print(f"{task.name} {activation} 64/{N}: {words}", flush=True)


if __name__ == "__main__":
    main()
