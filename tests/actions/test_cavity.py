"""A few neurons in a bath of Gaussian ones: their density against dense formulas, their evidence against quadrature."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal, norm, qmc

from widthwise.actions import Cavity, CavityAction, ScalarAction
from widthwise.actions.cavity import activated, check_traced
from widthwise.actions.cavity_density import Explicit, Uncoupled
from widthwise.activations import resolve
from widthwise.errors import InputError
from widthwise.numerics.spectra import Eigensystem

T, LAM = 0.2, 0.6
SMALL = Cavity(neurons=1, ladders=16, levels=4, draws=250, warmup=60)


def kernel(C):
    """Of erf, in closed form [Williams 1997]."""
    G = C @ C.T
    own = 1.0 + 2.0 * G.diagonal()
    return 2.0 / np.pi * np.arcsin(2.0 * G / np.sqrt(np.outer(own, own))) / LAM


def action_of(rng, P=4, r=3, N=6, settings=SMALL, phi="erf"):
    C, y = rng.normal(size=(P, r)), rng.normal(size=P)
    values, vectors = np.linalg.eigh(kernel(C))
    return CavityAction(resolve(phi), C, values, vectors, y, T, N, LAM, settings)


@partial(jax.jit, static_argnums=0)
def both(density, z, numbers):
    return jax.vmap(density, (0, None))(z, numbers)


@partial(jax.jit, static_argnums=0)
def slope(density, z, numbers):
    return jax.grad(lambda z: sum(density(z, numbers)))(z)


def evaluate(action, z):
    """(b, c) of coordinates (n, d)."""
    with jax.enable_x64(True):
        b, c = both(Explicit(action.phi, action.neurons), jnp.asarray(z), action.numbers)
        return np.asarray(b), np.asarray(c)


@pytest.mark.parametrize(("k", "N"), [(1, 6), (3, 5), (4, 40)])
def test_density_is_the_dense_one(rng, k, N):
    """log p(log Q) N(y; 0, T I + Q K + ΦΦᵀ/(λ_1 N)), by SciPy, and the same without neurons."""
    action = action_of(rng, N=N, settings=Cavity(neurons=k))
    z = rng.normal(size=(5, k * 3 + 1))
    b, c = evaluate(action, z)
    K = action.vectors @ np.diag(action.values) @ action.vectors.T
    numbers, eye = action.numbers, np.eye(4)
    W, Q = action.split(z)
    assert W.shape == (5, k, 3)
    for i in range(5):
        x = z[i, -1]
        other = math.exp(numbers.centre + numbers.spread * x)  # S over its degrees of freedom, in either theory
        F = np.asarray(action.phi(action.inputs @ W[i].T)) / math.sqrt(LAM * N)
        jacobian = math.log(numbers.spread) + 0.5 * x * x + 0.5 * math.log(2 * math.pi)  # of x; less N(x; 0, 1)
        S = (N - k) * other
        assert Q[i] == pytest.approx(S / N)
        dense = multivariate_normal.logpdf(action.target, np.zeros(4), T * eye + Q[i] * K + F @ F.T)
        assert b[i] + c[i] == pytest.approx(chi2.logpdf(S, N - k) + math.log(S) + dense + jacobian, rel=1e-9)
        dense = multivariate_normal.logpdf(action.target, np.zeros(4), T * eye + other * K)
        assert b[i] == pytest.approx(chi2.logpdf(N * other, N) + math.log(N * other) + dense + jacobian, rel=1e-9)


@pytest.mark.parametrize("phi", ["erf", "relu"])
def test_gradient(rng, phi):
    action = action_of(rng, settings=Cavity(neurons=2), phi=phi)
    z, step = rng.normal(size=7), 1e-5 * np.eye(7)
    with jax.enable_x64(True):
        g = np.asarray(slope(Explicit(action.phi, 2), jnp.asarray(z), action.numbers))
    up, down = (sum(evaluate(action, z + side)) for side in (step, -step))
    np.testing.assert_allclose(g, (up - down) / 2e-5, rtol=1e-5, atol=1e-7)


def test_examples_may_come_in_any_order_and_units(rng):
    """b + c: the same for permuted examples; with y → 3 y, T → 9 T, λ_1 → λ_1/9 less P log 3."""
    action = action_of(rng, settings=Cavity(neurons=2))
    z, order = rng.normal(size=(5, 7)), np.array([2, 0, 3, 1])
    permuted = CavityAction(
        action.phi, action.inputs[order], action.values, action.vectors[order], action.target[order], T, 6, LAM,
        action.settings,
    )  # fmt: skip
    scaled = CavityAction(
        action.phi, action.inputs, 9 * action.values, action.vectors, 3 * action.target, 9 * T, 6, LAM / 9,
        action.settings,
    )  # fmt: skip
    b, c = evaluate(action, z)
    for other, shift in ((permuted, 0.0), (scaled, -4 * math.log(3.0))):
        b_other, c_other = evaluate(other, z)
        np.testing.assert_allclose(b_other, b + shift, rtol=1e-9)
        np.testing.assert_allclose(c_other, c, atol=1e-9)
    swapped = z[:, [3, 4, 5, 0, 1, 2, 6]]  # neurons are exchangeable
    np.testing.assert_allclose(evaluate(action, swapped)[1], c, atol=1e-10)


@pytest.mark.parametrize("N", [2, 6, 300, 10**6])
def test_evidence_without_neurons_is_the_integrated_theory(rng, N):
    action = action_of(rng, N=N)
    spectrum = Eigensystem.of(kernel(action.inputs)).with_target(action.target)
    integrated = ScalarAction(spectrum, N, T).log_evidence_integrated()
    assert action.log_evidence_gaussian == pytest.approx(integrated, abs=1e-6)
    if N < 1000:  # ∫ e^b N(x; 0, 1) dx
        numbers = action.numbers
        low, high = ((numbers.grid[end] - numbers.centre) / numbers.spread for end in (0, -1))
        x = np.linspace(low, high, 4001)
        b, _ = evaluate(action, np.column_stack([np.tile([0.3, -0.2, 0.9], (4001, 1)), x]))
        assert trapezoid(np.exp(b - 0.5 * x * x - integrated), x) == pytest.approx(math.sqrt(2 * math.pi), rel=1e-6)


def test_a_draw_without_coupling_has_its_own_law(rng):
    """W ~ N(0, I), and Q' by the theory without neurons: its moments by quadrature on another grid."""
    action = action_of(rng, N=5)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(1), 40_000)
        z = np.asarray(both(Uncoupled(1), keys, action.numbers))
    assert z.dtype == np.float64
    assert z.shape == (40_000, 4)
    np.testing.assert_allclose(np.cov(z[:, :3].T), np.eye(3), atol=0.04)
    log_Q = action.numbers.centre + action.numbers.spread * z[:, -1]
    grid = np.linspace(-12.0, 4.0, 20_011)
    p = np.exp(action.log_joint(grid))
    p /= p.sum()
    for power in (1, 2, 3):
        exact, spread = p @ grid**power, math.sqrt(p @ grid ** (2 * power) - (p @ grid**power) ** 2)
        assert abs((log_Q**power).mean() - exact) < 4.5 * spread / 200


def test_evidence_with_a_neuron_is_quadrature(rng):
    """k = 1: log ∫ p(w) p(Q) N(y; 0, T I + Q K + φφᵀ/(λ_1 N)) by Sobol points in w and a grid in log Q."""
    action = action_of(rng, N=3)
    W = norm.ppf(qmc.Sobol(3, seed=1).random_base2(13))
    log_Q = np.linspace(-14.0, 3.0, 80)  # S = 3 Q of two degrees of freedom
    F = np.asarray(action.phi(action.inputs @ W.T)).T / math.sqrt(LAM * 3)
    K = kernel(action.inputs)
    A = (T * np.eye(4) + np.exp(log_Q)[:, None, None] * K)[None] + (F[:, :, None] * F[:, None, :])[:, None]
    squares = np.linalg.solve(A, action.target[:, None])[..., 0] @ action.target
    log_p = -0.5 * (np.linalg.slogdet(A)[1] + squares + 4 * math.log(2 * math.pi))
    S = 3 * np.exp(log_Q)
    whole = log_p + chi2.logpdf(S, 2) + np.log(S) + math.log((log_Q[1] - log_Q[0]) / len(W))
    exact = logsumexp(whole)
    found = action.tempered
    assert abs(action.log_evidence_gaussian + found.log_ratio - exact) < 4.5 * found.standard_error
    assert found.standard_error < 0.03
    # and the draws are of that law: ⟨log Q⟩ and ⟨|φ|²⟩
    p = np.exp(whole - exact)
    drawn_W, drawn_Q = action.split(found.positions)
    size = (action.features(drawn_W.reshape(-1, 1, 3)) ** 2).sum(axis=(1, 2)).reshape(16, -1)
    for drawn, value in ((np.log(drawn_Q), (p * log_Q).sum()), (size, p.sum(axis=1) @ (F**2).sum(axis=1))):
        means = drawn.mean(axis=1)
        assert abs(means.mean() - value) < 4.5 * means.std(ddof=1) / 4
    assert not jax.config.jax_enable_x64  # 64 bits inside alone


def test_features_are_those_of_the_density(rng):
    action = action_of(rng, settings=Cavity(neurons=3))
    z = rng.normal(size=10)
    with jax.enable_x64(True):
        inside = np.asarray(Explicit(action.phi, 3).features(jnp.asarray(z), action.numbers))
    np.testing.assert_allclose(action.features(z[:-1].reshape(1, 3, 3))[0], inside, rtol=1e-12)


def test_no_more_neurons_than_leave_a_bath(rng):
    assert action_of(rng, N=3, settings=Cavity(neurons=9)).neurons == 2
    assert action_of(rng, N=9, settings=Cavity(neurons=3)).neurons == 3


def test_a_function_of_ones_own_is_evaluated_in_float64():
    h = np.array([[0.1, 1.0 / 3.0]])
    assert np.array_equal(activated(resolve(jnp.tanh), h), np.asarray(activated(resolve(jnp.tanh), h), float))
    np.testing.assert_allclose(activated(resolve(jnp.tanh), h), np.tanh(h), rtol=1e-14)
    assert not jax.config.jax_enable_x64


def test_a_function_for_numpy_alone_is_refused():
    check_traced(resolve(jnp.tanh))
    check_traced(resolve("relu"))
    with pytest.raises(
        InputError, match=r"tanh: expected a function that JAX can trace .* write it with jax.numpy"
    ) as f:
        check_traced(resolve(np.tanh))
    assert "\n" not in str(f.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("neurons", 0), ("ladders", 1), ("levels", 1), ("draws", 19), ("warmup", 3), ("nodes", 2), ("seed", -1),
        ("neurons", True),
    ],
)  # fmt: skip
def test_settings_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name}: expected a whole number of at least .* got {value!r}") as f:
        Cavity(**{name: value})
    assert "\n" not in str(f.value)
