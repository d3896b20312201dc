"""Random features: the exact moments of φ(Wx/√N₀) on Gaussian inputs, of any activation, with several teachers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations import Activation, resolve
from widthwise.activations.duals import dual_of
from widthwise.activations.mixed import mixed_dual, products
from widthwise.errors import InputError, NumericalError
from widthwise.numerics.lapack import symmetric_root
from widthwise.replica.population import Population

_LOOSEST = 1e-4  # bound on a mixed moment, relative to √(E[φ²] E[σ²]), above which it is an error
_BATCH = 4096
_EPS = float(np.finfo(np.float64).eps)
_STEP_ROUNDING = 4 * _EPS**0.5  # a kernel like arccos ρ at ρ = 1, where ρ is known to ε


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network with one hidden layer.

        f(x) = Σ_j a_j σ(w_j·x/√N₀)/√M

    Args:
        weights: w (M, N₀); (N₀,) for one neuron.
        readout: a (M,); ones by default.
        activation: σ, a name or a callable; "identity" makes it linear.
    """

    weights: Any = field(repr=False)
    readout: Any = field(default=None, repr=False)
    activation: Any = "identity"

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(
            self,
            "weights",
            _matrix("teacher weights", np.atleast_2d(checks.numbers_of("teacher weights", self.weights))),
        )
        a = np.ones(len(self.weights)) if self.readout is None else checks.numbers_of("teacher readout", self.readout)
        if a.shape != (len(self.weights),) or not np.isfinite(a).all():
            raise InputError(
                f"teacher readout: expected {len(self.weights)} finite numbers, one per hidden neuron, got shape "
                f"{a.shape}; pass a vector."
            )
        put(self, "readout", a)
        put(self, "activation", resolve(self.activation))

    def __call__(self, x: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, " n"]:
        """f at n inputs."""
        M, N0 = self.weights.shape
        return self.activation(x @ self.weights.T / np.sqrt(N0)) @ self.readout / np.sqrt(M)


def random_features(
    weights: Any,
    activation: Any,
    *,
    teacher: Teacher | Callable[[np.ndarray], np.ndarray] | Any,
    noise: Any = 0.0,
    input_covariance: Any = None,
    constant: bool = False,
    examples: int | None = None,
    key: int = 0,
) -> Population:
    """The moments of φ_i = φ(w_i·x/√N₀) and y = f(x) + noise for x ~ N(0, C).

        Ω_ij = κ(C_ii, C_ij, C_jj) of the covariances w_i·C w_j/N₀,   b_i = E[φ_i f]

    Ω is exact, and so is b for a `Teacher` (Hermite series with its remainder bounded). Of any other function b is θ
    fitted to `examples` draws of x, and ε_R the unbiased estimate of that fit, known to a relative √(2/examples), or
    less well under heavy tails.

    Assumes: nothing for the moments. A learning curve of them takes the features for Gaussian, which heavy tails are
        not: of φ = exp ε_g of real fits was 7 to 40 % above it, most where P is near N. Ask `gaussian_equivalence` of
        drawn φ(Wx/√N₀) and y: a τ far from 1, or carried by a few `rows`, says so.
    Args:
        weights: w (N, N₀), given; fit and curve are at these weights, not averaged over them.
        activation: φ, a name or a callable.
        teacher: a vector w (N₀,), f = w·x/√N₀; a `Teacher`; or a function of x (n, N₀) that returns (n,).
        noise: variance of what is added to f.
        input_covariance: C (N₀, N₀), or its diagonal (N₀,); the identity by default.
        constant: whether the readout has a constant that is not penalised: the moments are then about the mean.
        examples: drawn for a function; 200 N by default.
        key: seed of those draws.

    Raises:
        InputError: shapes that do not agree, a covariance that is none, a teacher that is none of the above.
        NumericalError: E[φ_i f] not known to 1e-4 from its Hermite series (two kinks on parallel weights).
    """
    W, phi = _matrix("weights", weights), resolve(activation)
    N, N0 = W.shape
    root = _input_root(input_covariance, N0)
    noise = checks.number("noise", noise, 0.0)
    V = W @ root / np.sqrt(N0)
    Omega, mean = _moments(phi, V)
    exact = _as_teacher(teacher, N0)
    if exact is None:
        draws = 200 * N if examples is None else examples
        return _fitted(phi, V, root, teacher, Omega, mean if constant else None, noise, draws, key)
    M = len(exact.weights)
    U, a = exact.weights @ root / np.sqrt(N0), exact.readout / np.sqrt(M)
    own, own_mean = _moments(exact.activation, U)
    b, power = mixed_moments(phi, exact.activation, V, U) @ a, float(a @ own @ a)
    if constant:
        shift = float(own_mean @ a)
        Omega, b, power = Omega - np.outer(mean, mean), b - shift * mean, power - shift**2
    return Population(Omega, b, power + noise)


def mixed_moments(
    phi: Activation, sigma: Activation, V: Float[np.ndarray, "N d"], U: Float[np.ndarray, "M d"]
) -> Float[np.ndarray, "N M"]:
    """E[φ(v_i·z) σ(u_j·z)], z ~ N(0, I): `activations.mixed`."""
    try:
        return np.asarray(mixed_dual(phi, sigma, _LOOSEST).kappa(*products(V, U)))
    except NumericalError as error:
        raise NumericalError(f"{error} Or pass the teacher as a function.") from None


def _moments(phi: Activation, V: Float[np.ndarray, "N d"]) -> tuple[Float[np.ndarray, "N N"], Float[np.ndarray, " N"]]:
    """E[φ_i φ_j] and E[φ_i] of φ(v_i·z); equal rows have equal moments, to the last digit."""
    rows, place = np.unique(V, axis=0, return_inverse=True)
    dual, cov = dual_of(phi), rows @ rows.T
    c = cov.diagonal().copy()
    side = dual.prepare(c)
    Omega = dual.tile(cov, side, side)
    Omega = 0.5 * (Omega + Omega.T)
    np.fill_diagonal(Omega, dual.diagonal(c))
    place = place.reshape(-1)
    return _semi_definite(Omega)[np.ix_(place, place)], np.asarray(dual.mean(c))[place]


def _semi_definite(Omega: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Negative eigenvalues set to zero up to what rounding can do: √ε, of a step between parallel weights."""
    values = np.linalg.eigvalsh(Omega)
    if not -_STEP_ROUNDING * values[-1] <= values[0] < -_EPS * len(values) * values[-1]:
        return Omega
    root = symmetric_root(Omega)
    return np.asarray(root @ root.T)


def _fitted(
    phi: Activation,
    V: Float[np.ndarray, "N d"],
    root: Float[np.ndarray, "d d"],
    teacher: Any,
    Omega: Float[np.ndarray, "N N"],
    mean: Float[np.ndarray, " N"] | None,
    noise: float,
    examples: int,
    key: int,
) -> Population:
    """The moments with a teacher known by its values only; `mean` of the features where they are to be centred."""
    N = len(V)
    if examples <= N + 1:
        raise InputError(f"examples: expected more than the features, {N}, got {examples}; the default is 200 N.")
    rng = np.random.default_rng(key)
    gram, cross, square = np.zeros((N + 1, N + 1)), np.zeros(N + 1), 0.0
    for start in range(0, examples, _BATCH):
        z = rng.standard_normal((min(_BATCH, examples - start), V.shape[1]))
        y = checks.numbers_of("teacher", teacher(z @ root.T))
        if y.shape != (len(z),) or not np.isfinite(y).all():
            raise InputError(
                f"teacher: expected ({len(z)},) finite values at {len(z)} inputs, got shape {y.shape}; "
                "return one number per row of x."
            )
        F = np.column_stack([phi(z @ V.T), np.full(len(z), 1.0 if mean is not None else 0.0)])
        gram, cross, square = gram + F.T @ F, cross + F.T @ y, square + float(y @ y)
    theta, _, rank, _ = np.linalg.lstsq(gram, cross, rcond=None)
    unexplained = max(square - float(theta @ cross), 0.0) / (examples - rank)
    if mean is not None:
        Omega = Omega - np.outer(mean, mean)
    b = Omega @ theta[:N]
    return Population(Omega, b, float(theta[:N] @ b) + unexplained + noise)


def _as_teacher(teacher: Any, N0: int) -> Teacher | None:
    """The teacher as one with exact moments; None for a function."""
    if callable(teacher) and not isinstance(teacher, Teacher):
        return None
    if isinstance(teacher, str):
        raise InputError(
            f"teacher: expected weights (N₀,), a Teacher or a function, got {teacher!r}; pass Teacher(weights, "
            "activation=...) for a named activation."
        )
    exact = teacher if isinstance(teacher, Teacher) else Teacher(teacher)
    if exact.weights.shape[1] != N0:
        raise InputError(
            f"teacher: expected weights for {N0} inputs, as the features', got {exact.weights.shape[1]}; "
            "pass such weights."
        )
    return exact


def _input_root(C: Any, N0: int) -> Float[np.ndarray, "N0 N0"]:
    """R with R Rᵀ = C."""
    if C is None:
        return np.eye(N0)
    matrix = checks.numbers_of("input_covariance", C)
    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    if matrix.shape != (N0, N0) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        raise InputError(
            f"input_covariance: expected a symmetric ({N0}, {N0}) matrix or its diagonal, got shape {matrix.shape}; "
            "pass E[xxᵀ]."
        )
    values = np.linalg.eigvalsh(matrix)
    if values[0] < -1e-10 * abs(values[-1]):
        raise InputError(
            f"input_covariance: expected a positive semi-definite matrix, got an eigenvalue {values[0]:.3g}; "
            "pass E[xxᵀ]."
        )
    return symmetric_root(matrix)


def _matrix(name: str, values: Any) -> Float[np.ndarray, "N N0"]:
    W = checks.numbers_of(name, values)
    if W.ndim != 2 or not W.size or not np.isfinite(W).all():
        raise InputError(
            f"{name}: expected a matrix of finite numbers, one row per neuron, got shape {W.shape}; pass one."
        )
    return W.copy()
