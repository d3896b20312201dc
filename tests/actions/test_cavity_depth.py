"""Depth, a few neurons as they are: the density against SciPy's, the identity exact at every depth."""

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal

import widthwise as ww
from widthwise.actions import MonteCarlo
from widthwise.actions.cavity import Cavity
from widthwise.actions.cavity_depth import CavityDepthAction
from widthwise.actions.cavity_outputs import RESERVOIR
from widthwise.activations import resolve
from widthwise.errors import InputError
from widthwise.kernels import training_kernel

T = 0.4
SHORT = MonteCarlo(chains=4, draws=60, warmup=30, nodes=240)


def whole(K):
    return np.triu(K) + np.triu(K, 1).T


def problem(rng, widths, lam, k, *, activation="identity", P=4, N0=3):
    """(the action, K, the network, X, y)."""
    X, network = rng.normal(size=(P, N0)), ww.FullyConnected(widths, activation, lam)
    y = X @ rng.normal(size=N0) + 0.3 * rng.normal(size=P)
    K = whole(training_kernel(network, X).K)
    C = whole(training_kernel(ww.FullyConnected(widths[:-1], activation, lam[:-1]), X).K)
    c, V = np.linalg.eigh(C)
    R = (V * np.sqrt(np.maximum(c, 0.0)))[:, c > 1e-12 * c[-1]]
    values, U = np.linalg.eigh(K)
    slopes = np.ones(P) if activation == "identity" else rng.uniform(0.5, 1.0, size=P)
    action = CavityDepthAction(
        resolve(activation), R, slopes, np.maximum(values, 0.0), U, y, T, tuple(widths), lam[-1],
        Cavity(neurons=k, seed=2), SHORT,
    )  # fmt: skip
    return action, K, network, X, y


def prior(action, n, rng):
    """n draws of all coordinates before the data, the bath's among them: by SciPy's χ², nothing of the density."""
    k, N = action.neurons, np.array(action.widths, dtype=float)
    parts = [rng.normal(size=(n, k * action.inputs.shape[1]))]
    for width in N[:-1]:
        nu = width - np.arange(k)
        parts.append(np.sqrt(nu / 2) * np.log(rng.chisquare(nu, size=(n, k)) / nu))
        parts.append(rng.normal(size=(n, k * (k - 1) // 2)))
    log_Q = np.log(rng.chisquare(N - k, size=(n, len(N))) / (N - k))
    parts.append(np.linalg.solve(action.numbers.root, (log_Q - action.numbers.centre).T).T)
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    ("widths", "lam", "k"),
    [
        ((5, 4), (1.7, 0.6, 1.3), 1),
        ((5, 4), (1.7, 0.6, 1.3), 3),
        ((4, 6, 5), (1.7, 0.6, 1.3, 0.8), 2),
        ((3, 3, 4, 5), (1.7, 0.6, 1.3, 0.8, 1.2), 2),
    ],
)
def test_identity_is_exact_at_every_depth(rng, widths, lam, k):
    """The evidence, by prior draws of everything, is that of the integrated theory."""
    action, K, network, X, y = problem(rng, widths, lam, k)
    found = []
    for _ in range(20):
        parts = action.split(prior(action, 5000, rng))
        F = action.bath[1] @ action.features(parts)
        A = parts.Q[:, None, None] * K + F @ np.swapaxes(F, 1, 2) + T * np.eye(len(y))
        squares = np.linalg.solve(A, np.broadcast_to(y[:, None], (5000, len(y), 1)))[:, :, 0] @ y
        found.append(np.exp(-0.5 * (squares + np.linalg.slogdet(2.0 * np.pi * A)[1])).mean())
    error = np.std(found, ddof=1) / np.sqrt(20) / np.mean(found)
    exact = ww.infer(network, X, y, temperature=T, approximation="integrated").log_evidence
    assert error < 0.02
    assert abs(np.log(np.mean(found)) - exact) < 4.5 * error
    assert action.log_evidence_gaussian == pytest.approx(exact, abs=1e-4)


def test_density_is_the_joint_law_of_everything(rng):
    """b and b + c against SciPy's χ² and normal laws, in the sampler's coordinates."""
    import jax

    from widthwise.actions.cavity_depth_density import Explicit

    widths, k = (6, 5, 7), 3
    action, K, _, _, y = problem(rng, widths, (1.7, 0.6, 1.3, 0.8), k, activation="erf", P=5)
    N, numbers = np.array(widths, dtype=float), action.numbers
    density = Explicit(action.phi, k, 3)
    with jax.enable_x64(True):
        for z in prior(action, 3, rng):
            b, c = map(float, density(z, numbers))
            x = z[-3:]
            log_Q = numbers.centre + numbers.root @ x
            parts = action.split(z[None])
            F, (bath, U) = action.bath[1] @ action.features(parts)[0], action.bath
            own, scales = 0.0, z[k * action.inputs.shape[1] : -3].reshape(2, -1)
            for width, s in zip(N, scales[:, :k]):
                nu = width - np.arange(k)  # A² = ν exp(s √(2/ν)) ~ χ²_ν
                squares = nu * np.exp(s * np.sqrt(2.0 / nu))
                own += (chi2.logpdf(squares, nu) + np.log(squares * np.sqrt(2.0 / nu))).sum()
                own += (0.5 * s * s + 0.5 * np.log(2.0 * np.pi)).sum()
            own += np.log(np.diagonal(numbers.root)).sum() + 0.5 * x @ x + 1.5 * np.log(2.0 * np.pi)
            for value, nu, kernel in (
                (b, N, np.exp(log_Q.sum()) * K),
                (b + c, N - k, parts.Q[0] * (U * bath) @ U.T + F @ F.T),
            ):
                scale = (chi2.logpdf(nu * np.exp(log_Q), nu) + np.log(nu) + log_Q).sum()
                law = multivariate_normal(np.zeros(len(y)), kernel + T * np.eye(len(y)))
                assert value == pytest.approx(own + scale + law.logpdf(y), abs=1e-8)


def test_bath_is_the_kernel_on_average(rng):
    """⟨Π_ℓ Q_ℓ K̃ + Q_L JζΓζᵀJ/λ⟩ + ⟨ΦΦᵀ/(λ_L N_L)⟩ = K before the data, but for the scales inside of φ."""
    action, K, *_ = problem(rng, (6, 7, 5), (1.7, 0.6, 1.3, 0.8), 3, activation="erf")
    values, U = action.bath
    parts = action.split(prior(action, 60000, rng))
    F = (U @ action.features(parts))[:, :, action.neurons :]  # what the bath shares with the neurons
    mean = parts.Q.mean() * (U * values) @ U.T + np.einsum("gpk,gqk->pq", F, F, optimize=True) / len(F)
    spread = np.sqrt(np.diag(K))
    np.testing.assert_allclose((mean / (1 - 3 / 5) - K) / np.outer(spread, spread), 0.0, atol=0.02)


def test_a_draw_without_the_data_is_the_prior(rng):
    """Of the neurons' coordinates; x comes out of the reservoir."""
    import jax

    from widthwise.actions.cavity_depth_density import Uncoupled

    action, *_ = problem(rng, (4, 3, 6), (1.0, 1.0, 1.0, 1.0), 2)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(1), 4000)
        z = np.asarray(jax.vmap(Uncoupled(2, 3), (0, None))(keys, action.numbers))
    other = prior(action, 40000, rng)
    assert z.shape[1] == other.shape[1]
    free = slice(0, -3)
    for power in (1, 2):
        gap = (z[:, free] ** power).mean(axis=0) - (other[:, free] ** power).mean(axis=0)
        spread = (other[:, free] ** power).std(axis=0)
        assert np.abs(gap / spread).max() < 5.0 / np.sqrt(3600)
    reservoir = action.numbers.reservoir
    assert {tuple(row) for row in z[:50, -3:]} <= {tuple(row) for row in reservoir}


def test_neurons_leave_a_bath_in_every_layer(rng):
    action, *_ = problem(rng, (3, 6), (1.0, 1.0, 1.0), 4)
    assert action.neurons == 2
    with pytest.raises(InputError, match="at least 2 units"):
        problem(rng, (1, 6), (1.0, 1.0, 1.0), 2)
    with pytest.raises(InputError, match="two hidden layers"):
        problem(rng, (6, 6), (1.0, 1.0, 1.0), 2)[0].__class__(
            action.phi, action.inputs, action.slopes, action.values, action.vectors, action.target, T, (6,), 1.0,
            action.settings,
        )  # fmt: skip


@pytest.mark.slow
def test_tempered_identity_has_the_evidence_of_the_integrated_theory(rng):
    action, *_ = problem(rng, (6, 8), (1.7, 0.6, 1.3), 3)
    object.__setattr__(action, "settings", Cavity(neurons=3, ladders=8, levels=6, draws=500, warmup=100))
    object.__setattr__(action, "reservoir", RESERVOIR)
    assert abs(action.tempered.log_ratio) < 4.5 * max(action.tempered.standard_error, 0.02)
