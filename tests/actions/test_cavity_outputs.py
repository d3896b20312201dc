"""Several outputs, a few neurons as they are: the density against SciPy's, one output against the scalar cavity."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, wishart

import widthwise as ww
from widthwise.actions import MonteCarlo
from widthwise.actions.cavity import Cavity, CavityAction
from widthwise.actions.cavity_outputs import RESERVOIR, CavityOutputsAction, coordinates, factor
from widthwise.activations import resolve
from widthwise.errors import InputError
from widthwise.kernels import training_kernel

T, LAM = 0.3, (1.7, 0.6)
SHORT = MonteCarlo(chains=4, draws=60, warmup=30, nodes=240)
LONG = MonteCarlo(chains=8, draws=300, warmup=60, nodes=2400)


def problem(rng, D, *, activation="erf", P=5, N0=3, N=7, neurons=3, reservoir=SHORT):
    """(the action, K, X, Y) of a network with non-unit precisions."""
    X, network = rng.normal(size=(P, N0)), ww.FullyConnected([N], activation, LAM)
    Y = X @ rng.normal(size=(N0, D)) + 0.3 * rng.normal(size=(P, D))
    K = np.triu(training_kernel(network, X).K)
    K = K + np.triu(K, 1).T
    k, U = np.linalg.eigh(K)
    C = X / np.sqrt(LAM[0] * N0)
    action = CavityOutputsAction(
        resolve(activation), C, np.maximum(k, 0.0), U, Y, T, N, LAM[1], Cavity(neurons=neurons, seed=3), reservoir
    )
    return action, K, X, Y


def log_law_of_u(u, nu, D):
    """log p(u) for ν L Lᵀ ~ Wishart_D(ν), from SciPy's density of the matrix and two Jacobians."""
    L = factor(u, D)
    logs = np.log(np.diagonal(L))
    matrix = wishart.logpdf(L @ L.T, df=nu, scale=np.eye(D) / nu)
    return matrix + D * np.log(2.0) + np.arange(D, 0, -1) @ logs + logs.sum()


@pytest.mark.parametrize("D", [1, 2, 3])
def test_density_is_the_joint_law_of_weights_scales_and_targets(rng, D):
    """b and b + c against SciPy's Wishart and a (PD) × (PD) normal, as functions of u."""
    import jax

    from widthwise.actions.cavity_outputs_density import Explicit

    action, K, _, Y = problem(rng, D)
    N, M = action.width, action.width - action.neurons
    numbers = action.numbers
    with jax.enable_x64(True):
        for _ in range(3):
            z = rng.normal(size=action.neurons * action.inputs.shape[1] + len(numbers.centre))
            x = z[-len(numbers.centre) :]
            b, c = map(float, Explicit(action.phi, action.neurons, D)(z, numbers))
            u = numbers.centre + numbers.root @ x
            W, Q = action.split(z)
            Phi = action.phi(action.inputs @ W.T) / np.sqrt(LAM[1] * N)
            # the densities are over x, whose Gaussian part is the sampler's
            volume = np.log(np.diagonal(numbers.root)).sum() + 0.5 * x @ x + 0.5 * len(x) * np.log(2.0 * np.pi)
            for value, nu, kernel in (
                (b, N, np.kron(factor(u, D) @ factor(u, D).T, K)),
                (b + c, M, np.kron(Q, K) + np.kron(np.eye(D), Phi @ Phi.T)),
            ):
                law = multivariate_normal(np.zeros(Y.size), kernel + T * np.eye(Y.size))
                expected = log_law_of_u(u, nu, D) + law.logpdf(Y.T.ravel()) + volume
                assert value == pytest.approx(expected, abs=1e-8)


def test_gradient_is_that_of_finite_differences(rng):
    import jax

    from widthwise.actions.cavity_outputs_density import Explicit

    action, *_ = problem(rng, 2, neurons=2)
    with jax.enable_x64(True):
        density, numbers = Explicit(action.phi, action.neurons, 2), action.numbers
        value = jax.jit(jax.value_and_grad(lambda z: sum(density(z, numbers))))
        z = rng.normal(size=2 * 3 + 3)
        gradient = np.asarray(value(z)[1])
        for i, step in enumerate(1e-5 * np.eye(len(z))):
            slope = float(value(z + step)[0] - value(z - step)[0]) / 2e-5
            assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_one_output_is_the_scalar_cavity(rng):
    """c at the same weights and the same Q, each in its own coordinates."""
    import jax

    from widthwise.actions.cavity_density import Explicit as Scalar
    from widthwise.actions.cavity_outputs_density import Explicit

    action, _, _, Y = problem(rng, 1)
    scalar = CavityAction(
        action.phi, action.inputs, action.values, action.vectors, Y[:, 0], T, action.width, LAM[1], action.settings
    )
    with jax.enable_x64(True):
        for log_Q in (-0.7, 0.1, 0.6):
            w = rng.normal(size=action.neurons * 3)
            x = (0.5 * log_Q - action.numbers.centre) / action.numbers.root[0]  # u = log L_11
            y = (log_Q - scalar.numbers.centre) / scalar.numbers.spread
            one = Explicit(action.phi, action.neurons, 1)(np.append(w, x), action.numbers)
            other = Scalar(action.phi, action.neurons)(np.append(w, y), scalar.numbers)
            assert float(one[1]) == pytest.approx(float(other[1]), abs=1e-9)
    assert action.log_evidence_gaussian == pytest.approx(
        scalar.log_evidence_gaussian, abs=5.0 * action.gaussian.evidence.standard_error
    )


@pytest.mark.parametrize(("D", "k"), [(2, 3), (3, 1)])
def test_identity_is_exact_at_every_number_of_neurons(rng, D, k):
    """The evidence, by prior draws of weights and of the bath, is that of the integrated theory."""
    action, K, _, Y = problem(rng, D, activation="identity", P=3, N0=2, N=5, neurons=k, reservoir=LONG)
    M, found = action.width - k, []
    for _ in range(10):
        W = rng.normal(size=(1000, k, 2))
        Q = wishart.rvs(df=M, scale=np.eye(D) / action.width, size=1000, random_state=rng)
        F = action.vectors @ action.features(W)
        A = np.einsum("gde,nm->gdnem", Q, K) + np.einsum("de,gnk,gmk->gdnem", np.eye(D), F, F)
        A = A.reshape(1000, 3 * D, 3 * D) + T * np.eye(3 * D)
        y = Y.T.ravel()
        squares = np.linalg.solve(A, np.broadcast_to(y[:, None], (1000, 3 * D, 1)))[:, :, 0] @ y
        found.append(np.exp(-0.5 * (squares + np.linalg.slogdet(2.0 * np.pi * A)[1])).mean())
    error = np.std(found, ddof=1) / np.sqrt(10) / np.mean(found)
    exact = action.gaussian.evidence
    assert np.hypot(error, exact.standard_error) < 0.05
    assert abs(np.log(np.mean(found)) - exact.log) < 4.5 * np.hypot(error, exact.standard_error)


def test_reservoir_is_standardised_and_drawn_from(rng):
    import jax

    from widthwise.actions.cavity_outputs_density import Uncoupled

    action, *_ = problem(rng, 3, neurons=2)
    x = action.numbers.reservoir
    assert x.shape[1] == 6
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(np.cov(x, rowvar=False), np.eye(6), atol=1e-10)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 2000)
        z = np.asarray(jax.vmap(Uncoupled(2), (0, None))(keys, action.numbers))
    assert np.abs(z.mean(axis=0)).max() < 5.0 / np.sqrt(2000)
    assert np.abs(z[:, :6].std(axis=0) - 1.0).max() < 5.0 / np.sqrt(4000)
    assert {tuple(row) for row in z[:50, 6:]} <= {tuple(row) for row in x}


def test_coordinates_and_factor_are_inverse(rng):
    A = rng.normal(size=(4, 3, 5))
    Q = A @ A.transpose(0, 2, 1)
    L = factor(coordinates(Q), 3)
    np.testing.assert_allclose(L @ L.transpose(0, 2, 1), Q, rtol=1e-12)


def test_a_bath_needs_as_many_neurons_as_outputs(rng):
    action, *_ = problem(rng, 3, N=5, neurons=4)
    assert action.neurons == 2
    with pytest.raises(InputError, match="width of more than 3"):
        problem(rng, 3, N=3)


@pytest.mark.slow
def test_tempered_identity_has_the_evidence_of_the_integrated_theory(rng):
    action, *_ = problem(rng, 2, activation="identity", P=6, N=6)
    object.__setattr__(action, "settings", Cavity(neurons=3, ladders=8, levels=6, draws=500, warmup=100))
    object.__setattr__(action, "reservoir", RESERVOIR)
    assert abs(action.tempered.log_ratio) < 4.5 * max(action.tempered.standard_error, 0.01)
    assert action.tempered.round_trips > 100
