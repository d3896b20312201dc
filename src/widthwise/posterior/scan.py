"""Many widths, temperatures and readout precisions on one prepared kernel, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaln

from widthwise.actions.batch import minimise_all
from widthwise.errors import InputError, NumericalError
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.posterior import checks
from widthwise.posterior.infer import multiplies_one_kernel
from widthwise.posterior.prepare import Prepared, PreparedInputs
from widthwise.posterior.score import signs

Vector = Float[np.ndarray, " G"]


@dataclass(frozen=True)
class Scan:
    """One row per point; every error is a Gibbs average, as in `Posterior`.

    Args:
        width, temperature, readout_precision: the points (G,).
        Q: order parameters.
        log_evidence: Laplace in log Q.
        tau, rho: of `Validity`.
        training_total, training_bias, training_variance: ε_t.
        test_total, test_bias, test_variance, accuracy: ε_g on the test set; None without one (or without labels ±1).
        converged: whether each saddle is a minimum with a vanishing gradient.
        minima: how many minima of S were seen; more than one deserves a look with `infer`.
    """

    width: Vector
    temperature: Vector
    readout_precision: Vector
    Q: Vector
    log_evidence: Vector
    tau: Vector
    rho: Vector
    training_total: Vector
    training_bias: Vector
    training_variance: Vector
    test_total: Vector | None
    test_bias: Vector | None
    test_variance: Vector | None
    accuracy: Vector | None
    converged: Bool[np.ndarray, " G"]
    minima: Vector


def scan(
    prepared: Prepared,
    y: Any,
    *,
    width: Any = None,
    temperature: Any,
    readout_precision: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    throw: bool = True,
) -> Scan:
    """The saddle's predictions at many points of one kernel: O(P) each after the eigendecomposition.

    `width`, `temperature` and `readout_precision` are broadcast against each other: equally long arrays for a list of
    points, or use `numpy.meshgrid` for a grid.

    Args:
        prepared: of a one-hidden-layer network.
        y: targets (P,).
        width: N_1, numbers above zero; the network's own by default.
        temperature: T > 0.
        readout_precision: λ_1 > 0; the network's own by default.
        X_test, y_test: where the test error is wanted; X_test may be `prepared.at(...)`.
        throw: whether points that did not converge raise.

    Raises:
        InputError: the arrays do not broadcast, or are not positive.
        NumericalError: a saddle did not converge.
    """
    network = prepared.network
    if isinstance(network, FullyConnected) and network.depth > 1:
        raise InputError(f"scan: expected one hidden layer, got {network.depth}; call infer(prepared, y, ...) instead.")
    if not multiplies_one_kernel(network):
        raise InputError(
            f"scan: expected a network with one kernel, got {network.name}, whose patches each have their own; call "
            "infer(network, X, y, ...) instead."
        )
    own = 1.0 if isinstance(network, PrecomputedKernel) else network.precisions[-1]
    N, T, lam = _points(network.widths[-1] if width is None else width, temperature, readout_precision, own)
    y = checks.targets(y, len(prepared.X), outputs=0)
    if y.ndim == 2:
        raise InputError(f"scan: expected one target per example, got {y.shape[1]}; call infer(prepared, y, ...).")
    k, coordinates = prepared.system.k, prepared.system.U.T @ y
    scale = own / lam
    found = minimise_all(k, coordinates**2, N, T, scale)
    if throw and not found.converged.all():
        i = int(np.flatnonzero(~found.converged)[0])
        raise NumericalError(
            f"scan: {np.count_nonzero(~found.converged)} of {len(N)} saddles did not converge, the first at width "
            f"{N[i]:g}, temperature {T[i]:g}; raise the temperature, or pass throw=False."
        )
    P = len(y)
    q = scale * found.Q
    bias = T**2 * found.dual_norm / P
    variance = T * q * found.trace / P
    tau = scale * found.trace / N
    rho = scale * found.dual_energy / N / (1.0 + tau)
    test = _test(prepared, coordinates, q, T, X_test, y_test)
    return Scan(
        width=N,
        temperature=T,
        readout_precision=lam,
        Q=found.Q,
        log_evidence=_log_evidence(found.value, found.curvature, N, P),
        tau=tau,
        rho=rho,
        training_total=bias + variance,
        training_bias=bias,
        training_variance=variance,
        test_total=None if test is None else test[0] + test[1],
        test_bias=None if test is None else test[0],
        test_variance=None if test is None else test[1],
        accuracy=None if test is None else test[2],
        converged=found.converged,
        minima=found.minima,
    )


def _points(width: Any, temperature: Any, readout_precision: Any, own: float) -> tuple[Vector, Vector, Vector]:
    named = {
        "width": width,
        "temperature": temperature,
        "readout_precision": own if readout_precision is None else readout_precision,
    }
    arrays = []
    for name, values in named.items():
        array = np.asarray(values, float)
        if array.size == 0 or not (np.isfinite(array).all() and (array > 0).all()):
            raise InputError(f"{name}: expected finite numbers above zero, got {values!r}.")
        if name == "width" and not ((array >= 1) & (array == np.round(array))).all():
            raise InputError(f"width: expected whole numbers of at least 1, got {values!r}.")
        arrays.append(array)
    try:
        N, T, lam = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(named, arrays))
        raise InputError(f"scan: expected arrays of one length, got {shapes}; broadcast them first.") from None
    return N.reshape(-1).copy(), T.reshape(-1).copy(), lam.reshape(-1).copy()


def _log_evidence(S: Vector, curvature: Vector, N: Vector, P: int) -> Vector:
    half = 0.5 * N
    constant = half * np.log(half) - gammaln(half) - 0.5 * P * np.log(2.0 * np.pi)
    return np.asarray(constant - half * S + 0.5 * np.log(4.0 * np.pi / (N * curvature)))


def _test(
    prepared: Prepared, coordinates: Float[np.ndarray, " P"], q: Vector, T: Vector, X_test: Any, y_test: Any
) -> tuple[Vector, Vector, Vector | None] | None:
    """(bias, variance, accuracy) on the test set for every point: one matrix product."""
    if X_test is None and y_test is None:
        return None
    if X_test is None or y_test is None:
        raise InputError("scan: expected X_test and y_test together, got one of them; pass both or neither.")
    at = X_test if isinstance(X_test, PreparedInputs) else prepared.at(X_test)
    n = len(at.cross.diagonal)
    y_test = checks.targets(y_test, n, "y_test")
    k, C = prepared.system.k, at.rotated
    squares = np.einsum("ij,ij->i", C, C)
    diagonal = float(at.cross.diagonal.sum())
    bias, variance, accuracy = np.empty_like(q), np.empty_like(q), np.empty_like(q)
    rows = max(1, 2**24 // max(len(k), n))
    for i in range(0, len(q), rows):
        s = slice(i, i + rows)
        A = T[s, None] + q[s, None] * k
        f = (q[s, None] * coordinates / A) @ C  # mean predictors (points, n)
        variance[s] = (q[s] * diagonal - q[s] ** 2 * ((1.0 / A) @ squares)) / n
        accuracy[s] = np.mean((f > 0.0) == (y_test > 0.0), axis=1)
        f -= y_test
        bias[s] = np.einsum("ij,ij->i", f, f) / n
    return bias, np.maximum(variance, 0.0), accuracy if signs(y_test) else None
