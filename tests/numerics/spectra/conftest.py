"""Kernels of every awkward kind, and the answers in extended precision, by plain elimination."""

from dataclasses import fields

import numpy as np
import pytest

from widthwise.numerics.spectra import GaussianTerms


def kernel(kind: str, P: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.standard_normal((P, max(2, P // 2)))
    if kind == "duplicated rows":
        X[P // 2 :] = X[: P - P // 2]
    K = X @ X.T / X.shape[1]
    match kind:
        case "generic":
            K = 2 / np.pi * np.arcsin(2 * K / np.sqrt(np.outer(1 + 2 * K.diagonal(), 1 + 2 * K.diagonal())))
        case "rank one":
            K = np.outer(X[:, 0], X[:, 0])
        case "constant":
            K = np.ones((P, P))
        case "zero":
            K = np.zeros((P, P))
        case "multiple of the identity":
            K = 0.7 * np.eye(P)
        case "ten decades":
            U = np.linalg.qr(rng.standard_normal((P, P)))[0]
            K = (U * np.geomspace(1e-9, 10, P)) @ U.T
    return np.ascontiguousarray((K + K.T) / 2)


def targets(kind: str, P: int, rng: np.random.Generator) -> np.ndarray:
    y = rng.standard_normal(P)
    match kind:
        case "y = 0":
            y[:] = 0.0
        case "y[0] = 0":
            y[0] = 0.0
        case "along e1":
            y[1:] = 0.0
        case "constant":
            y[:] = 1.0
    return y


_KNOWN: dict[tuple[bytes, bytes, float, float], GaussianTerms] = {}


def exact_terms(K: np.ndarray, y: np.ndarray, q: float, t: float) -> GaussianTerms:
    """`_eliminate`, once for all the implementations that are asked the same question."""
    key = (K.tobytes(), y.tobytes(), q, t)
    if key not in _KNOWN:
        _KNOWN[key] = _eliminate(K, y, q, t)
    return _KNOWN[key]


def _eliminate(K: np.ndarray, y: np.ndarray, q: float, t: float) -> GaussianTerms:
    """Gaussian elimination on [A | 1] in extended precision: A⁻¹ = WᵀD⁻¹W with W = L⁻¹."""
    P, real = len(y), np.longdouble
    K, y = K.astype(real), y.astype(real)
    table = np.hstack([real(q) * K + real(t) * np.eye(P, dtype=real), np.eye(P, dtype=real)])
    for i in range(P):
        table[i + 1 :, i:] -= np.outer(table[i + 1 :, i] / table[i, i], table[i, i:])
    pivots, W = table.diagonal(), table[:, P:]
    inverse = W.T @ (W / pivots[:, None])
    a, B = inverse @ y, inverse @ K
    Ka = K @ a
    return GaussianTerms(
        log_det=float(np.log(pivots).sum()),
        quadratic=float(y @ a),
        trace=float(np.trace(B)),
        dual_energy=float(a @ Ka),
        trace_square=float((B * B.T).sum()),
        dual_curvature=float(Ka @ inverse @ Ka),
        dual_norm=float(a @ a),
    )


def natural_sizes(exact: GaussianTerms, P: int, q: float, t: float, condition: float) -> dict[str, float]:
    """What an error is to be compared with: the size that each answer could have."""
    tiny = 1e-300
    return {
        "log_det": P * (1.0 + abs(np.log(t)) + np.log(condition)),
        "quadratic": exact.quadratic + tiny,
        "trace": P / q,
        "dual_energy": exact.quadratic / q + tiny,
        "trace_square": P / q**2,
        "dual_curvature": exact.quadratic / q**2 + tiny,
        "dual_norm": exact.dual_norm + tiny,
    }


def errors(found: GaussianTerms, exact: GaussianTerms, sizes: dict[str, float]) -> dict[str, float]:
    names = [field.name for field in fields(GaussianTerms)]
    return {name: abs(getattr(found, name) - getattr(exact, name)) / sizes[name] for name in names}


@pytest.fixture
def awkward():
    return kernel, targets


@pytest.fixture
def reference():
    return exact_terms, natural_sizes, errors
