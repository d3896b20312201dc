"""Random features: moments against sampled inputs, curves against ridge fits of the features themselves."""

import numpy as np
import pytest

from widthwise.activations import resolve
from widthwise.errors import InputError, NumericalError
from widthwise.replica import Population, Teacher, gaussian_equivalence, random_features, solve
from widthwise.replica.random_features import mixed_moments

ACTIVATIONS = ["relu", "erf", "tanh"]


@pytest.fixture
def inputs(rng):
    """Weights, a covariance that is not the identity, and a way to draw x from it."""
    N, N0 = 6, 9
    root = np.tril(0.4 * rng.standard_normal((N0, N0))) + np.diag(rng.uniform(0.5, 1.5, N0))
    return 1.3 * rng.standard_normal((N, N0)), root @ root.T, lambda n: rng.standard_normal((n, N0)) @ root.T


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "gelu", lambda h: np.maximum(h - 0.4, 0.0)])
@pytest.mark.parametrize("kind", ["linear", "same", "relu", "tanh"])
def test_moments_of_sampled_inputs(inputs, rng, activation, kind, constant):
    W, C, draw = inputs
    name = {"linear": "identity", "same": activation}.get(kind, kind)
    teacher = Teacher(rng.standard_normal((4, 9)), rng.standard_normal(4), name)
    if kind == "linear":
        teacher = Teacher(teacher.weights[0])
    population = random_features(
        W, activation, teacher=teacher.weights[0] if kind == "linear" else teacher, noise=0.3, input_covariance=C,
        constant=constant,
    )  # fmt: skip
    x = draw(100_000)
    F, y = resolve(activation)(x @ W.T / 3), teacher(x)
    if constant:
        F, y = F - F.mean(0), y - y.mean()
    for products, exact in (
        (F[:, :, None] * F[:, None, :], population.feature_covariance),
        (F * y[:, None], population.feature_target_covariance),
        (y**2, population.target_power - 0.3),
    ):
        assert (np.abs(products.mean(0) - exact) < 5 * products.std(0) / np.sqrt(len(x))).all()


def test_features_of_the_teacher_itself_explain_it(inputs):
    W, C, _ = inputs
    population = random_features(W, "relu", teacher=Teacher(W[:2], [0.7, -1.2], "relu"), input_covariance=C)
    assert population.noise_fraction == pytest.approx(0.0, abs=1e-12)
    theta = np.zeros(6)
    theta[:2] = np.array([0.7, -1.2]) / np.sqrt(2)
    assert population.teacher == pytest.approx(theta, abs=1e-10)


def test_linear_features_are_their_own_kernel(inputs, rng):
    W, C, _ = inputs
    w = rng.standard_normal(9)
    population = random_features(W, "linear", teacher=w, input_covariance=C, noise=0.5)
    assert population.feature_covariance == pytest.approx(W @ C @ W.T / 9)
    assert population.feature_target_covariance == pytest.approx(W @ C @ w / 9)
    assert population.target_power == pytest.approx(w @ C @ w / 9 + 0.5)


def test_a_diagonal_covariance_and_the_identity(inputs, rng):
    W, c = inputs[0], rng.uniform(0.5, 2.0, 9)
    one, other = (random_features(W, "erf", teacher=W[0], input_covariance=C) for C in (c, np.diag(c)))
    assert one.feature_covariance == pytest.approx(other.feature_covariance)
    one, other = (random_features(W, "erf", teacher=W[0], input_covariance=C) for C in (None, np.ones(9)))
    assert one.feature_target_covariance == pytest.approx(other.feature_target_covariance)


@pytest.mark.parametrize("constant", [False, True])
def test_a_function_as_teacher_agrees_with_the_exact_one(inputs, rng, constant):
    W, C, _ = inputs
    teacher = Teacher(rng.standard_normal((4, 9)), rng.standard_normal(4), "relu")
    options = {"noise": 0.1, "input_covariance": C, "constant": constant}
    exact = random_features(W, "tanh", teacher=teacher, **options)
    fitted = random_features(W, "tanh", teacher=lambda x: teacher(x), examples=100_000, key=3, **options)
    assert fitted.residual == pytest.approx(exact.residual, rel=0.03)
    assert fitted.target_power == pytest.approx(exact.target_power, rel=0.03)
    assert fitted.teacher == pytest.approx(exact.teacher, abs=0.05)
    again = random_features(W, "tanh", teacher=lambda x: teacher(x), examples=100_000, key=3, **options)
    assert again.target_power == fitted.target_power


def test_a_dead_neuron(inputs):
    W, C, _ = inputs
    W = np.vstack([W, np.zeros(9)])
    assert random_features(W, "erf", teacher=W[0], input_covariance=C).rank == 6
    assert random_features(W, "cos", teacher=W[0], input_covariance=C, constant=True).rank == 6


def sampled_errors(W, phi, teacher, noise, P, lam, repeats, rng):
    """ε_t and ε_g (on fresh inputs) of ridge fits to the features themselves: means and standard errors."""
    N, N0 = W.shape
    found = []
    for _ in range(repeats):
        x, new = rng.standard_normal((P, N0)), rng.standard_normal((1500, N0))
        F, y = phi(x @ W.T / np.sqrt(N0)), teacher(x) + np.sqrt(noise) * rng.standard_normal(P)
        v = np.linalg.solve(F.T @ F + lam * np.eye(N), F.T @ y)
        wrong = teacher(new) - phi(new @ W.T / np.sqrt(N0)) @ v
        found.append((np.mean((y - F @ v) ** 2), np.mean(wrong**2) + noise))
    return np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(repeats)


@pytest.mark.parametrize("P", [60, 300])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_ridge_fits_of_random_features(activation, P, rng):
    """Both sides of interpolation, N = 120; a linear teacher."""
    check(120, 100, activation, Teacher(rng.standard_normal(100)), P, 0.3, 40, rng)


@pytest.mark.slow
@pytest.mark.parametrize("P", [200, 1000])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", ["identity", "tanh", "relu"])
def test_ridge_fits_of_many_random_features(activation, hidden, P, rng):
    M = 1 if hidden == "identity" else 50
    teacher = Teacher(rng.standard_normal((M, 300)), rng.standard_normal(M), hidden)
    check(400, 300, activation, teacher, P, 0.3, 40, rng)


def check(N, N0, activation, teacher, P, lam, repeats, rng):
    W, noise = rng.standard_normal((N, N0)), 0.2
    population = random_features(W, activation, teacher=teacher, noise=noise)
    state = solve(population, P, lam)
    theory = np.array([state.training_error, state.generalisation_error])
    mean, se = sampled_errors(W, resolve(activation), teacher, noise, P, lam, repeats, rng)
    assert (np.abs(mean - theory) <= np.maximum(4 * se, 0.03 * theory)).all(), (mean, se, theory)


def test_a_sample_of_features_gives_the_same_curve(rng):
    W = rng.standard_normal((20, 30))
    exact = random_features(W, "relu", teacher=W[0] + W[1], noise=0.4, constant=True)
    x = rng.standard_normal((40_000, 30))
    y = x @ (W[0] + W[1]) / np.sqrt(30) + np.sqrt(0.4) * rng.standard_normal(len(x))
    sampled = Population.of_sample(np.maximum(x @ W.T / np.sqrt(30), 0.0), y)
    loads, ridges = [0.3, 0.9, 1.5, 10.0], [0.1, 3.0]
    one, other = (p.learning_curve(loads, ridges) for p in (exact, sampled))
    assert other.generalisation_error == pytest.approx(one.generalisation_error, rel=0.04)
    assert other.training_error == pytest.approx(one.training_error, rel=0.04)


def test_bad_input(inputs):
    W, C, _ = inputs
    with pytest.raises(InputError, match="weights: expected a matrix"):
        random_features(W[0], "erf", teacher=W[0])
    with pytest.raises(InputError, match="for 9 inputs"):
        random_features(W, "erf", teacher=np.ones(4))
    with pytest.raises(InputError, match="one per hidden neuron"):
        Teacher(W, [1.0])
    with pytest.raises(InputError, match="noise"):
        random_features(W, "erf", teacher=W[0], noise=-1.0)
    with pytest.raises(InputError, match="positive semi-definite"):
        random_features(W, "erf", teacher=W[0], input_covariance=-C)
    with pytest.raises(InputError, match="its diagonal"):
        random_features(W, "erf", teacher=W[0], input_covariance=np.ones(4))
    with pytest.raises(InputError, match="one number per row"):
        random_features(W, "erf", teacher=lambda x: x)
    with pytest.raises(InputError, match="more than the features"):
        random_features(W, "erf", teacher=lambda x: x[:, 0], examples=5)
    with pytest.raises(InputError, match="got 0"):
        random_features(W, "erf", teacher=lambda x: x[:, 0], examples=0)
    with pytest.raises(NumericalError, match="pass the teacher as a function"):
        mixed_moments(resolve(np.sign), resolve(lambda h: np.where(h > 0, 1.0, -2.0)), W, W)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_repeated_neurons_are_one_however_steep(rng, activation, scale):
    """A kernel near a step's knows its arguments to √ε only; copies must not count for that, nor Ω be refused."""
    W, w = scale * rng.standard_normal((4, 9)), rng.standard_normal(9)
    one = random_features(W, activation, teacher=w, noise=0.2)
    copied = random_features(np.repeat(W, [1, 3, 2, 5], axis=0), activation, teacher=w, noise=0.2)
    assert (one.rank, copied.rank, copied.size) == (4, 4, 11)
    assert copied.residual == pytest.approx(one.residual, rel=1e-6)
    assert solve(copied, 9).gap == pytest.approx(solve(one, 9).gap, rel=1e-6)
    mirrored = random_features(np.concatenate([W, -W]), activation, teacher=w, noise=0.2)
    assert mirrored.residual == pytest.approx(one.residual, rel=1e-3)


def test_heavy_tails_are_for_tau_to_find(rng):
    """φ = exp: as the docstring says, the curve is below real fits, and `gaussian_equivalence` of draws departs."""
    W = rng.standard_normal((10, 8))
    x = rng.standard_normal((20_000, 8))
    y = np.tanh(x[:, 0]) + 0.3 * rng.standard_normal(20_000)
    found = gaussian_equivalence(np.exp(x @ W.T / np.sqrt(8)), y)
    assert abs(found.tau - 1) > 0.1
