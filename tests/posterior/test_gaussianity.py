"""The kurtosis of a neuron along the dual vector: exact values, an independent estimate, invariances."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.posterior.gaussianity import gaussianity


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(20, 4))
    return X, np.sign(X[:, 0]), rng.normal(size=20)


def test_linear_neurons_are_gaussian(problem):
    X, _, a = problem
    found = gaussianity(ww.FullyConnected([7], "identity", (1.3, 0.6), 0.4), X, a, 0.8)
    assert abs(found.kurtosis) < 5 * np.sqrt(24 / 8192)


def test_quadratic_neurons_of_one_input_are_chi_square(problem):
    """g ∝ w², w normal: excess kurtosis 12."""
    found = gaussianity(ww.FullyConnected([7], "quadratic"), np.ones((3, 1)), np.ones(3), 1.0)
    assert found.kurtosis == pytest.approx(12.0, rel=0.3)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_it_is_the_fourth_cumulant_of_the_networks_own_neurons(problem, activation):
    """Drawn afresh here, with non-unit precisions and biases: κ4 of Σ_μ a_μ φ(h_μ)/√λ_1."""
    X, _, a = problem
    lam, N, Q, bias = (1.7, 0.6), 9, 1.3, 0.5
    found = gaussianity(ww.FullyConnected([N], activation, lam, bias), X, a, Q)
    rng = np.random.default_rng(5)
    h = X @ rng.normal(size=(4, 400_000)) / np.sqrt(lam[0] * 4) + np.sqrt(bias) * rng.normal(size=400_000)
    from scipy.special import erf

    g = a @ (erf(h) if activation == "erf" else np.maximum(h, 0.0)) / np.sqrt(lam[1])
    g -= g.mean()
    cumulant = np.mean(g**4) - 3 * np.mean(g**2) ** 2
    assert found.kurtosis == pytest.approx(cumulant / np.mean(g**2) ** 2, abs=0.3)
    assert found.nats == pytest.approx(Q**2 * cumulant / (8 * N), rel=0.35)


def test_a_common_scale_of_labels_or_features_changes_no_kurtosis(problem):
    X, _, a = problem
    first = gaussianity(ww.FullyConnected([9], "erf", (1.7, 0.6)), X, a, 1.3)
    other = gaussianity(ww.FullyConnected([9], "erf", (1.7, 2.4)), X, 5 * a, 1.3)
    assert other.kurtosis == pytest.approx(first.kurtosis, rel=1e-10)
    assert other.nats == pytest.approx(first.nats * (25 * 0.6 / 2.4) ** 2, rel=1e-10)
    assert gaussianity(ww.FullyConnected([9]), X, 0 * a, 1.0).nats == 0.0


def test_few_inputs_are_doubtful_and_many_are_not(rng):
    """y = sign(x_0): with four inputs sampled training errors are 10 to 24 % off, with sixty-four none (T = 0.1)."""
    verdicts = {}
    for N0 in (4, 64):
        X = rng.normal(size=(60, N0))
        validity = ww.infer(ww.FullyConnected([200], "erf"), X, np.sign(X[:, 0]), temperature=0.1).validity
        assert validity.product < 0.1
        verdicts[N0] = validity.verdict
    assert verdicts == {4: "doubtful", 64: "sound"}


def test_it_is_unknown_without_the_neurons(problem):
    X, y, _ = problem
    deep = ww.infer(ww.FullyConnected([50, 50], "erf"), X, y, temperature=0.1).validity
    kernel = ww.infer(ww.PrecomputedKernel([5000]), X @ X.T, y, temperature=0.1).validity
    assert deep.kurtosis is None
    assert "such deep networks" in deep.reason
    assert kernel.kurtosis is None
    assert "not known" in kernel.reason
