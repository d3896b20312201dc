"""The matrix-valued action: derivatives, one output's theory, certified minima, and linear networks by brute force."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.actions import ScalarAction
from widthwise.actions.matrix import MatrixAction, MonteCarlo, calibrated, pack, unpack
from widthwise.actions.outputs import OutputsTerm
from widthwise.errors import InputError, NumericalError
from widthwise.numerics.spectra import Eigensystem
from widthwise.saddle import Status
from widthwise.saddle.descend import hessian

T, SCALE = 0.2, 1.4


def problem(rng, P=14, D=3):
    X = rng.normal(size=(P, 2 * P))
    mixing = np.eye(D) + 0.6 * rng.normal(size=(D, D))
    return X @ X.T / (2 * P), X @ rng.normal(size=(2 * P, D)) @ mixing / math.sqrt(2 * P) + 0.2 * rng.normal(
        size=(P, D)
    )


def action(K, Y, widths, temperature=T, **settings):
    e = Eigensystem.of(K)
    return MatrixAction(OutputsTerm(e.k, e.U.T @ Y, temperature, SCALE), widths, MonteCarlo(**settings))


@pytest.fixture
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("widths", [(6,), (9, 6)])
def test_saddle_of_the_dense_action_of_every_layer_and_its_determinant(rng, widths):
    """JAX differentiates the (PD)² formula: gradient zero, Hessian positive, log evidence from its determinant."""
    K, Y = problem(rng, P=6, D=2)
    found = action(K, Y, widths)
    r, s = np.triu_indices(2)
    roots = np.linalg.cholesky(found.layers)

    @jax.jit
    def S(h):
        """At Q_ℓ = R_ℓ (I + H_ℓ + ½H_ℓ²) R_ℓᵀ, coordinates in which the measure dQ det Q^{-(m+1)/2} is flat at zero."""
        H = jnp.zeros((len(widths), 2, 2)).at[:, r, s].set(h.reshape(len(widths), -1))
        H = H.at[:, s, r].set(H[:, r, s])
        Q = roots @ (jnp.eye(2) + H + 0.5 * H @ H) @ np.swapaxes(roots, 1, 2)
        A = T * jnp.eye(Y.size) + SCALE * jnp.kron(Q[0], K)
        y = Y.T.ravel()
        total = (jnp.linalg.slogdet(A)[1] + y @ jnp.linalg.solve(A, y)) / widths[-1]
        for N, own, above in zip(widths, Q, [*Q[1:], jnp.eye(2)]):
            ratio = jnp.linalg.solve(above, own)
            total += N / widths[-1] * (jnp.trace(ratio) - jnp.linalg.slogdet(ratio)[1])
        return total

    h = jnp.zeros(3 * len(widths))
    assert float(S(h)) == pytest.approx(found.saddle.best.value, rel=1e-10)
    assert float(jnp.abs(jax.grad(S)(h)).max()) < 1e-8
    H = np.asarray(jax.hessian(S)(h))
    assert np.linalg.eigvalsh(H).min() > 0
    volume = 0.5 * (len(h) * math.log(4 * math.pi / widths[-1]) - np.linalg.slogdet(H)[1])
    constants = found.prior.laplace_constant() - 0.5 * Y.size * math.log(2 * math.pi)
    assert found.log_evidence_saddle() == pytest.approx(constants - 0.5 * widths[-1] * float(S(h)) + volume, abs=1e-5)


@pytest.mark.parametrize("widths", [(6,), (4, 9, 6)])
def test_gradient_by_differences(rng, widths):
    K, Y = problem(rng)
    found = action(K, Y, widths)
    for x in (rng.normal(size=6), pack(np.diag([0.5, 0.5, -1.0])), np.zeros(6)):
        gradient = found.derivatives(x)[1]
        for i, e in enumerate(1e-5 * np.eye(6)):
            slope = (found.derivatives(x + e)[0] - found.derivatives(x - e)[0]) / 2e-5
            assert slope == pytest.approx(gradient[i], rel=1e-6, abs=1e-7)
    assert found.derivatives(pack(200.0 * np.eye(3)))[0] == math.inf


def test_packing_keeps_the_norm(rng):
    X = rng.normal(size=(4, 4))
    X = X + X.T
    np.testing.assert_allclose(unpack(pack(X)), X)
    assert np.linalg.norm(pack(X)) == pytest.approx(np.linalg.norm(X))


@pytest.mark.parametrize("widths", [(1,), (5,), (9, 6), pytest.param((4, 11, 7), marks=pytest.mark.slow)])
def test_one_output_is_the_scalar_theory(rng, widths):
    K, Y = problem(rng, D=1)
    matrix = action(K, Y, widths, draws=250, warmup=120)
    scalar = ScalarAction(Eigensystem.of(K).with_target(Y[:, 0]), widths[-1], T, SCALE, widths[:-1])
    assert matrix.Q[0, 0] == pytest.approx(scalar.Q, rel=1e-9)
    np.testing.assert_allclose(matrix.layers[:, 0, 0], np.cumprod(scalar.layers[::-1])[::-1], rtol=1e-8)
    assert matrix.log_evidence_saddle() == pytest.approx(scalar.log_evidence_saddle(), abs=1e-7)
    assert matrix.log_evidence_infinite() == pytest.approx(scalar.log_evidence_infinite())
    exact = scalar.quadrature
    evidence = matrix.evidence
    assert abs(matrix.log_evidence_integrated() - exact.log_evidence) < max(4.5 * evidence.standard_error, 2e-3)
    assert evidence.standard_error < 0.02
    mean = exact.weights @ exact.Q
    draws = matrix.draws
    assert abs(draws.weights @ draws.Q[:, 0, 0] / mean - 1.0) < 4.5 * draws.error
    assert draws.error < 0.06
    assert draws.rhat < 1.05
    second = exact.weights @ exact.Q**2
    spread = math.sqrt(exact.weights @ exact.Q**4 - second**2)
    assert abs(draws.weights @ draws.Q[:, 0, 0] ** 2 - second) < 4.5 * spread / math.sqrt(min(draws.ess, 256))


def test_rotated_outputs_rotate_the_order_parameter(rng):
    K, Y = problem(rng)
    R = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    straight, rotated = action(K, Y, (8, 5)), action(K, Y @ R, (8, 5))
    np.testing.assert_allclose(R @ rotated.Q @ R.T, straight.Q, atol=1e-8)
    assert rotated.log_evidence_saddle() == pytest.approx(straight.log_evidence_saddle(), abs=1e-6)


def test_independent_outputs_of_an_infinitely_wide_network(rng):
    K, Y = problem(rng)
    wide = action(K, Y, (10**7,))
    np.testing.assert_allclose(wide.Q, np.eye(3), atol=1e-4)
    assert wide.log_evidence_saddle() == pytest.approx(wide.log_evidence_infinite(), abs=1e-3)


def test_a_wide_layer_changes_nothing(rng):
    K, Y = problem(rng)
    one, two = action(K, Y, (7,)), action(K, Y, (10**8, 7))
    np.testing.assert_allclose(two.Q, one.Q, rtol=1e-5)
    assert two.log_evidence_saddle() == pytest.approx(one.log_evidence_saddle(), abs=1e-4)


@pytest.mark.parametrize("widths", [(2,), (5,), (3, 30), (60,)])
def test_minima_are_certified(rng, widths):
    K, Y = problem(rng, P=20, D=4)
    found = action(K, Y, widths)
    saddle = found.saddle
    assert saddle.status is Status.CONVERGED
    assert saddle.agreeing >= 1
    assert saddle.best.residual < 1e-9 * max(1.0, saddle.best.hessian[-1])
    assert saddle.best.hessian.min() > 0
    np.testing.assert_allclose(
        saddle.best.hessian, np.linalg.eigvalsh(hessian(found.derivatives, saddle.best.x)), rtol=1e-6
    )
    for _ in range(20):
        assert found.derivatives(saddle.best.x + 0.1 * rng.normal(size=10))[0] > saddle.best.value


def weight_space(X, Y, X_new, widths, lam, T, n, rng):
    """Posterior means of (f(X_new), Q_1, 1) by weighing prior draws of every weight; batches for the errors."""
    D, N0, sums = Y.shape[1], X.shape[1], []
    for _ in range(20):
        V = rng.normal(size=(n // 20, D, widths[-1])) / math.sqrt(widths[-1] * lam[-1])
        for N, below, precision in zip(widths[:0:-1], widths[-2::-1], lam[-2:0:-1]):
            V = V @ rng.normal(size=(len(V), N, below)) / math.sqrt(below * precision)
        Q = V @ np.swapaxes(V, 1, 2) * math.prod(lam[1:])
        W = V @ rng.normal(size=(len(V), widths[0], N0)) / math.sqrt(lam[0] * N0)
        f = np.einsum("pi,sdi->spd", X, W)
        likelihood = np.exp(-0.5 * ((Y - f) ** 2).sum((1, 2)) / T) / (2 * math.pi * T) ** (0.5 * Y.size)
        new = np.einsum("pi,sdi->spd", X_new, W).reshape(len(V), -1)
        columns = np.column_stack([new, Q.reshape(len(V), -1), np.ones(len(V))])
        sums.append((columns * likelihood[:, None]).mean(0))
    sums = np.array(sums)

    def answers(s):
        return np.append(s[:-1] / s[-1], np.log(s[-1]))

    jackknife = np.array([answers(np.delete(sums, i, 0).mean(0)) for i in range(20)])
    return answers(sums.mean(0)), np.sqrt(19 * ((jackknife - jackknife.mean(0)) ** 2).mean(0))


QUICK = [((1,), 2), ((5,), 2), ((2, 3), 2)]
MORE = [((2,), 2), ((2,), 3), ((5,), 3), ((5, 1), 2), ((2, 5), 3)]


@pytest.mark.parametrize(("widths", "D"), QUICK + [pytest.param(*case, marks=pytest.mark.slow) for case in MORE])
def test_integrated_is_weight_space_monte_carlo(widths, D):
    """Linear networks, non-unit precisions: predictive means, E[Q | y] and the evidence; N < D included."""
    rng = np.random.default_rng(sum(widths) + 10 * D)
    lam = (1.7, 0.6, 1.4)[: len(widths) + 1]
    X, X_new = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    Y = 0.5 * X @ rng.normal(size=(2, D)) + 0.2 * rng.normal(size=(3, D))
    temperature = 0.6
    e = Eigensystem.of(X @ X.T / (2 * math.prod(lam)) / SCALE)
    found = MatrixAction(
        OutputsTerm(e.k, e.U.T @ Y, temperature, SCALE), widths, MonteCarlo(draws=250, warmup=120, nodes=2000)
    )
    draws = found.draws
    K_new = X_new @ X.T / (2 * math.prod(lam))
    K = X @ X.T / (2 * math.prod(lam))
    y = Y.T.ravel()
    f = np.array(
        [
            (np.kron(Q, K_new) @ np.linalg.solve(temperature * np.eye(len(y)) + np.kron(Q, K), y)).reshape(D, -1).T
            for Q in draws.Q
        ]
    )
    values = np.concatenate([f.reshape(len(f), -1), draws.Q.reshape(len(f), -1)], axis=1)
    theory = np.append(draws.weights @ values, found.log_evidence_integrated())
    own = np.append(values.std(0) / math.sqrt(min(draws.ess, len(f))), found.evidence.standard_error)
    sampled, error = weight_space(X, Y, X_new, widths, lam, temperature, 400_000, rng)
    z = (theory - sampled) / np.hypot(own, error)
    assert np.abs(z).max() < 4.5, z
    assert error[-1] < 0.05
    assert found.evidence.standard_error < 0.05
    assert draws.rhat < 1.05
    np.testing.assert_allclose(draws.layers[0], draws.Q)
    assert draws.weights.sum() == pytest.approx(1.0)


def test_the_seed_decides(rng):
    K, Y = problem(rng)
    one, same, other = (action(K, Y, (4,), draws=40, warmup=40, seed=s).draws for s in (1, 1, 2))
    assert np.array_equal(one.Q, same.Q)
    assert not np.array_equal(one.Q, other.Q)
    assert one.Q.shape == (256, 3, 3)


def test_calibrated_weights(rng):
    x = rng.normal(size=(200, 3)) + 0.2
    w = calibrated(x)
    np.testing.assert_allclose(w @ x, 0.0, atol=1e-5)
    assert w.min() > 0
    assert w.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(calibrated(np.abs(x)), 1 / 200)  # no weights do that


def test_refusals(rng):
    K, Y = problem(rng)
    with pytest.raises(InputError, match=r"^draws: expected a whole number of at least 8, got 2; pass e\.g\. 500\.$"):
        MonteCarlo(draws=2)
    with pytest.raises(InputError, match=r"expected widths of at least 3 .* got 2"):
        action(K, Y, (2,)).log_evidence_saddle()


class NoFactor(OutputsTerm):
    def terms_of_all(self, Q):
        raise NumericalError("no factor")


def test_a_data_term_without_a_domain_says_so(rng):
    _, Y = problem(rng)
    nowhere = MatrixAction(NoFactor(np.ones(14), Y, T), (5,))
    assert nowhere.saddle.status is Status.OUTSIDE_DOMAIN
    with pytest.raises(NumericalError, match="no place to start the chains from"):
        nowhere.draws


def test_ten_outputs_of_two_thousand_examples_in_a_moment():
    rng = np.random.default_rng(0)
    k = np.sort(rng.exponential(size=2000) ** 4)
    Y = np.sqrt(k + 0.1)[:, None] * rng.normal(size=(2000, 10)) @ (np.eye(10) + 0.3 * rng.normal(size=(10, 10)))
    for widths in ((300,), (150, 300)):
        began = time.perf_counter()
        found = MatrixAction(OutputsTerm(k, Y, 0.1), widths)
        assert found.saddle.status is Status.CONVERGED
        assert time.perf_counter() - began < 5.0  # a fraction of a second on an idle machine
