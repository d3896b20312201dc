"""Levenberg–Marquardt for a network of one hidden layer: to a training error of zero where there is one."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.activations.phi import Activation
from widthwise.errors import InputError
from widthwise.sampling.precision import float64

WINDOW = 50  # steps that must win something
_ROUNDING = 1e-12  # of the loss
_STATUS = ("steps", "converged", "converged", "stalled")  # by the reason to stop


@dataclass(frozen=True)
class GaussNewton:
    """How far to go.

    Args:
        steps: at most so many, those that are tried in vain included.
        tolerance: of the training error, in units of mean y², or of 1 where all y are zero.
        gradient: of the largest cosine between the residual and a column of the Jacobian.
        progress: stalled where fifty steps win less than this share of the error and of the cosine less than 9/10.
    """

    steps: int = 1000
    tolerance: float = 1e-20
    gradient: float = 1e-10
    progress: float = 1e-3

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, numbers.Integral) or self.steps < 0:
            raise InputError(f"steps: expected a whole number of at least 0, got {self.steps!r}; pass e.g. 1000.")
        for name in ("tolerance", "gradient", "progress"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
                raise InputError(f"{name}: expected a number in [0, 1), got {value!r}; pass e.g. 1e-10.")


@dataclass(frozen=True, eq=False)
class Fitted:
    """Where an optimiser ended.

    Args:
        W: first layer (N1, K).
        a: readout (N1,).
        error: mean (y − f)².
        status: "converged" (the error or the gradient is below its tolerance), "stalled" or "steps" (all spent).
        steps: tried.
    """

    W: Float[np.ndarray, "N1 K"]
    a: Float[np.ndarray, " N1"]
    error: float
    status: str
    steps: int


def gauss_newton(
    phi: Activation,
    X: Float[np.ndarray, "P K"],
    y: Float[np.ndarray, " P"],
    start: tuple[Float[np.ndarray, "N1 K"], Float[np.ndarray, " N1"]],
    settings: GaussNewton = GaussNewton(),
) -> Fitted:
    """The weights of f(x) = Σ_i a_i φ(w_i·x) that minimise Σ (y − f(x))², all data at once.

        δ = (JᵀJ + μ)⁻¹ Jᵀr = Jᵀ(JJᵀ + μ)⁻¹ r,   J = ∂f/∂(W, a),  r = y − f
                                                    [Levenberg 1944; Marquardt 1963; μ as in Nielsen 1999, IMM-REP-05]

    In 64 bits. The normal equations' rounding is no limit: r is exact, so what one step leaves the next takes. The
    smaller of the two systems is solved. P is padded with rows of no weight, so that few sizes are compiled.

    Args:
        phi: φ, traceable by JAX.
        X: inputs; a column of ones for biases.
        y: targets.
        start: (W, a) to begin with.
        settings: when to stop.
    """
    P = len(y)
    rows = padded(P)
    mask = (np.arange(rows) < P).astype(float)
    X, y = (np.concatenate([array, np.zeros((rows - P, *array.shape[1:]))]) for array in (X, y))
    with float64():
        W, a, loss, reason, steps = _minimise(
            phi.function,
            *map(jnp.asarray, (*start, X, y, mask)),
            settings.steps,
            settings.tolerance,
            settings.gradient,
            settings.progress,
        )
        return Fitted(np.asarray(W), np.asarray(a), float(loss) / P, _STATUS[int(reason)], int(steps))


def padded(P: int) -> int:
    """The rows that P examples are given: 1, 1¼, 1½ or 1¾ times a power of two."""
    quarter = max(8, 2 ** (int(P - 1).bit_length() - 3)) if P > 1 else 8
    return -(-P // quarter) * quarter


def jacobian(phi: Any, W: Any, a: Any, X: Any) -> tuple[Any, Any]:
    """f (P,) and J (P, N1·K + N1) of Σ_i a_i φ(w_i·x), the rows of W first, in JAX."""
    h = X @ W.T
    hidden, slope = jax.jvp(phi, (h,), (jnp.ones_like(h),))
    of_W = (slope * a)[:, :, None] * X[:, None, :]
    return hidden @ a, jnp.concatenate([of_W.reshape(len(X), W.size), hidden], axis=1)


@partial(jax.jit, static_argnums=0)
def _minimise(
    phi: Any, W: Any, a: Any, X: Any, y: Any, mask: Any, steps: Any, tolerance: Any, gradient: Any, progress: Any
) -> Any:
    p, dual = W.size + a.size, len(y) < W.size + a.size
    power = jnp.sum(y**2)
    power = jnp.where(power > 0, power, 1.0)

    def unpack(theta: Any) -> tuple[Any, Any]:
        return theta[: W.size].reshape(W.shape), theta[W.size :]

    def model(theta: Any) -> tuple[Any, ...]:
        """Of the linearised problem: what is solved (A), what brings its solution back (J or nothing), Jᵀr, cosine."""
        f, J = jacobian(phi, *unpack(theta), X)
        J, r = J * mask[:, None], (y - f) * mask
        g = r @ J
        lengths = jnp.sqrt(jnp.sum(J**2, axis=0) * jnp.sum(r**2))
        cosine = jnp.max(jnp.abs(g) / jnp.where(lengths > 0, lengths, 1.0))
        return (J @ J.T, J, r, g, cosine) if dual else (J.T @ J, jnp.zeros((0, p)), r, g, cosine)

    def step(parts: Any, mu: Any) -> Any:
        A, J, r, g, _ = parts
        factor = jax.scipy.linalg.cho_factor(A + mu * jnp.eye(len(A)), lower=True)
        return jax.scipy.linalg.cho_solve(factor, r) @ J if dual else jax.scipy.linalg.cho_solve(factor, g)

    def loss_of(theta: Any) -> Any:
        w, readout = unpack(theta)
        return jnp.sum(((y - phi(X @ w.T) @ readout) * mask) ** 2)

    def body(carry: Any) -> Any:
        theta, loss, parts, mu, growth, before, since, tried, _ = carry
        delta = step(parts, mu)
        found = loss_of(theta + delta)
        expected = delta @ (parts[3] + mu * delta)
        flat = expected <= _ROUNDING * loss  # what is to be won drowns in the rounding of the loss: trust the model
        ratio = jnp.where(flat, 1.0, (loss - found) / expected)
        won = (ratio > 0) & (found <= (1 + _ROUNDING * flat) * loss)  # NaN, of a factor that is none, wins nothing
        theta, loss = jnp.where(won, theta + delta, theta), jnp.where(won, found, loss)
        parts = jax.lax.cond(won, model, lambda _: parts, theta)
        least = 1e-15 * jnp.trace(parts[0])
        mu = jnp.where(won, mu * jnp.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3), mu * growth)
        growth = jnp.where(won, 2.0, 2.0 * growth)
        ended = since + 1 == WINDOW
        idle = (loss > (1 - progress) * before[0]) & (parts[4] > 0.1 * before[1])
        stuck = ended & idle | (growth > 1e12)
        before = jnp.where(ended, jnp.stack([loss, parts[4]]), before)
        since = jnp.where(ended, 0, since + 1)
        return theta, loss, parts, jnp.maximum(mu, least), growth, before, since, tried + 1, reason(loss, parts, stuck)

    def reason(loss: Any, parts: Any, stuck: Any) -> Any:
        return jnp.select([loss <= tolerance * power, parts[4] <= gradient, stuck], [1, 2, 3], 0)

    theta = jnp.concatenate([W.ravel(), a])
    loss, parts = loss_of(theta), model(theta)
    mu = 1e-2 * jnp.trace(parts[0]) / p  # |J|², whichever system it is
    first = (
        theta,
        loss,
        parts,
        mu,
        jnp.asarray(2.0),
        jnp.stack([loss, parts[4]]),
        0,
        0,
        reason(loss, parts, jnp.asarray(False)),
    )
    theta, loss, _, _, _, _, _, tried, why = jax.lax.while_loop(
        lambda carry: (carry[-1] == 0) & (carry[-2] < steps), body, first
    )
    return *unpack(theta), loss, why, tried
