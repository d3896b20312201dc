"""The expansion for any callable: against closed forms, its bound, its speed and its refusals."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from widthwise.activations.duals import dual_of
from widthwise.activations.hermite import TOLERANCE, Hermite, contract_tile
from widthwise.activations.phi import resolve
from widthwise.activations.tanh import kolmogorov_density, mixture
from widthwise.errors import InputError, NumericalError


def normal_gelu(h):
    return 0.5 * h * (1 + erf(h / math.sqrt(2)))


SMOOTH = {"erf": erf, "sin": np.sin, "cos": np.cos, "quadratic": np.square, "gelu": normal_gelu, "tanh": np.tanh}


@pytest.mark.parametrize("name", SMOOTH)
def test_expansion_is_the_closed_form(name, rng):
    X = rng.standard_normal((60, 20)) * rng.uniform(0.3, 1.6, (60, 1))
    X[-3:] = X[0], -X[1], 2 * X[2]
    C = X @ X.T / 20
    c = np.diag(C).copy()
    expanded, closed = dual_of(resolve(SMOOTH[name])), dual_of(resolve(name))
    side = expanded.prepare(c)
    assert isinstance(expanded, Hermite)
    assert side.bound.max() < 1e-10
    reference = closed.kappa(c[:, None], C, c[None, :])
    scale = np.sqrt(np.outer(closed.diagonal(c), closed.diagonal(c)))
    assert (abs(expanded.tile(C.copy(), side, side) - reference) < 2e-10 * scale).all()
    np.testing.assert_allclose(expanded.mean(c), closed.mean(c), atol=1e-13 * c.max())
    assert expanded.has_mean == closed.has_mean


@pytest.mark.parametrize(("name", "cmax"), [("relu", 3.0), ("gelu", 200.0), ("erf", 60.0)])
def test_error_stays_below_the_bound_where_the_bound_is_large(name, cmax, rng):
    phi = resolve(name)
    expanded, closed = dual_of(resolve(lambda h: phi(h))), dual_of(phi)
    c = rng.uniform(0.2, cmax, 40)
    u = np.clip(1 - np.geomspace(1e-6, 2, 40), -1, 1)
    cxy = u * np.sqrt(np.outer(c, c))
    side = expanded.prepare(c)
    error = abs(expanded.tile(cxy.copy(), side, side) - closed.kappa(c[:, None], cxy, c[None, :]))
    allowed = np.sqrt(np.outer(side.bound * closed.diagonal(c), side.bound * closed.diagonal(c)))
    assert side.bound.max() > 1e-9
    assert (error <= allowed + 1e-11 * np.sqrt(np.outer(closed.diagonal(c), closed.diagonal(c)))).all()


def test_diagonal_and_opposite_rows_are_exact_however_early_the_sum_is_cut():
    dual, c = dual_of(resolve(lambda h: np.maximum(h, 0))), np.array([0.7, 0.7])
    tile = dual.tile(np.array([[0.7, -0.7], [-0.7, 0.7]]), dual.prepare(c), dual.prepare(c))
    np.testing.assert_allclose(tile, [[0.35, 0.0], [0.0, 0.35]], atol=1e-15)


def test_pairs_near_one_are_summed_apart_without_changing_the_tile(rng):
    X = rng.standard_normal((200, 300))
    C = X @ X.T / 300
    dual = dual_of(resolve(normal_gelu))
    side = dual.prepare(np.diag(C).copy())
    tile = contract_tile(C, side, side)
    reference = dual_of(resolve("gelu")).kappa(np.diag(C)[:, None], C, np.diag(C)[None, :])
    assert abs(tile - reference).max() < 100 * TOLERANCE


def test_tanh_is_a_mixture_of_error_functions():
    V, w = mixture()
    h = np.geomspace(1e-6, 40, 500)
    np.testing.assert_allclose(erf(h[:, None] / (math.sqrt(2) * V)) @ w, np.tanh(h), rtol=3e-11)
    from scipy.stats import kstwobign

    v = np.linspace(0.2, 3, 50)
    # SciPy's own density is off by 2e-8 around v = 0.83, where it changes series
    np.testing.assert_allclose(kolmogorov_density(v), kstwobign.pdf(v), rtol=5e-8)


def test_a_thousand_rows_of_tanh_cost_well_below_a_second(rng):
    X = rng.standard_normal((1000, 300))
    C = X @ X.T / 300
    dual = dual_of(resolve("tanh"))
    start = time.process_time()
    side = dual.prepare(np.diag(C).copy())
    for i in range(0, 1000, 250):
        for j in range(0, 1000, 250):
            dual.tile(C[i : i + 250, j : j + 250].copy(), side[i : i + 250], side[j : j + 250])
    assert time.process_time() - start < 0.9


def test_jax_callable_is_evaluated_in_float64_and_leaves_the_setting():
    assert jnp.asarray(1.0).dtype == jnp.float32
    kappa = float(dual_of(resolve(jnp.sin)).kappa(1.0, 0.5, 1.0))
    assert kappa == pytest.approx(math.exp(-1) * math.sinh(0.5), rel=1e-12)
    assert jnp.asarray(1.0).dtype == jnp.float32


def test_callable_under_jax_tracing_is_refused_clearly():
    dual = dual_of(resolve(np.arctan))
    with pytest.raises(InputError, match="not differentiable yet"):
        jax.grad(lambda c: dual.kappa(1.0, c, 1.0))(0.5)


def scalar_only(h):
    return h if h > 0 else 0.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (scalar_only, "write it elementwise"),
        (math.tanh, "np.tanh not math.tanh"),
        (lambda h: h.sum(), "expected output of the input's shape"),
        (lambda h: np.sqrt(h), "expected finite values"),
        (lambda h: 1 / h, r"not at h = 0"),
        (lambda h: h + 1j, "expected real numbers, got complex128"),
        (lambda h: h / np.abs(h).sum(), "expected an elementwise function"),
        (lambda h: np.random.default_rng().normal(size=h.shape), "not on chance"),
        (lambda: 1.0, "TypeError"),
        (lambda h: None, "shape"),
    ],
)
def test_bad_callables_give_one_clear_error(function, message):
    with pytest.raises(InputError, match=message):
        dual_of(resolve(function))


def test_overflow_where_the_kernel_needs_phi_is_an_input_error():
    dual = dual_of(resolve(lambda h: np.log1p(np.exp(h))))
    dual.prepare(np.ones(2))
    with pytest.raises(InputError, match="logaddexp"):
        dual.prepare(np.array([1e4]))


def test_what_cannot_be_known_is_refused():
    with pytest.raises(NumericalError, match="scale the inputs down"):
        dual_of(resolve(np.sign)).prepare(np.ones(3))
    with pytest.raises(NumericalError, match="grows too fast"):
        dual_of(resolve(lambda h: np.exp(0.3 * h * h / (1 + 0.01 * np.abs(h))))).prepare(np.ones(1))


def test_kinks_away_from_the_origin_are_resolved_or_declared(oracle):
    dual = dual_of(resolve(lambda h: np.clip(h, -1, 1)))
    side = dual.prepare(np.array([1.0, 2.0]))
    assert 1e-10 < side.bound.max() < 1e-4
    # E[clip(h)²] at c = 1, by parts
    g, Q = math.exp(-0.5) / math.sqrt(2 * math.pi), 0.5 * math.erfc(math.sqrt(0.5))
    assert dual.diagonal([1.0])[0] == pytest.approx(1 - 2 * Q - 2 * g + 2 * Q, rel=1e-5)


def test_zero_activation_has_a_zero_kernel():
    dual = dual_of(resolve(lambda h: 0.0 * h))
    side = dual.prepare(np.array([0.0, 1.0]))
    assert (dual.tile(np.eye(2), side, side) == 0).all()
    assert not dual.has_mean
