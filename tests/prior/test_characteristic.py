"""E exp(i s·f): against weights drawn here, SciPy's multivariate t, the exact linear network and its own limits."""

import math

import numpy as np
import pytest
from scipy import special, stats

import widthwise as ww
from widthwise.errors import InputError
from widthwise.kernels import training_kernel
from widthwise.prior import characteristic_function, draw

PRECISIONS = (0.6, 1.7)


def kernel(network, X):
    return training_kernel(network, X).K


def forward(network, X, n, rng, D=1):
    """f(X) of n networks, by loops over nothing but layers: (n, P, D)."""
    phi, lam, h = network.phi, network.precisions, X[None] / np.sqrt(X.shape[1])
    for N, precision, bias in zip(network.widths, lam, network.bias_variances):
        W = rng.normal(0.0, precision**-0.5, (n, h.shape[2], N))
        h = phi(h @ W + np.sqrt(bias) * rng.standard_normal((n, 1, N))) / np.sqrt(N)
    return h @ rng.normal(0.0, lam[-1] ** -0.5, (n, h.shape[2], D))


def agree(value, error, values, sigmas=4.5):
    mean, own = values.mean(axis=0), values.std(axis=0) / math.sqrt(len(values))
    assert np.all(np.abs(value - mean) <= sigmas * np.hypot(own, error))


@pytest.mark.parametrize("N", [6, 9])
def test_the_mixture_is_a_multivariate_t_density_in_s(N, rng):
    X = rng.standard_normal((4, 6))
    network = ww.FullyConnected([N], "erf", PRECISIONS)
    nu, P = N - 4, 4
    law = stats.multivariate_t(shape=N / nu * np.linalg.inv(kernel(network, X)), df=nu)
    s = rng.standard_normal((5, P))
    np.testing.assert_allclose(
        characteristic_function(network, X, s), law.pdf(s) / law.pdf(np.zeros(P)), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("law", ["mixture", "network"])
@pytest.mark.parametrize("N", [1, 3, 20])
def test_one_linear_layer_against_its_weights(law, N, rng):
    X, s = rng.standard_normal((3, 5)), rng.standard_normal((4, 3))
    network = ww.FullyConnected([N], "identity", PRECISIONS, 0.4)
    value, error = characteristic_function(network, X, s, law=law, standard_error=True)
    agree(value, error, np.cos(forward(network, X, 60_000, rng)[..., 0] @ s.T))
    np.testing.assert_allclose(
        value, (1 + np.einsum("mp,pq,mq->m", s, kernel(network, X), s) / N) ** (-N / 2), atol=1e-3
    )
    assert np.all(error < 1e-3)


def test_one_linear_unit_by_quadrature_is_exact(rng):
    X, s = rng.standard_normal((2, 3)), np.array([0.0, 1.9])
    network = ww.FullyConnected([5], "identity", PRECISIONS)
    value, error = characteristic_function(network, X, s, law="network", standard_error=True)
    assert isinstance(value, float)
    assert value == pytest.approx(characteristic_function(network, X, s), rel=1e-12)
    assert error < 1e-12


@pytest.mark.parametrize(("activation", "bias"), [("erf", 0.0), ("relu", 0.3), (np.cos, 0.2)])
def test_one_layer_of_any_activation_against_its_weights(activation, bias, rng):
    X, s = rng.standard_normal((3, 4)), 1.3 * rng.standard_normal((4, 3))
    network = ww.FullyConnected([3], activation, PRECISIONS, bias)
    value, error = characteristic_function(network, X, s, law="network", standard_error=True)
    agree(value, error, np.cos(forward(network, X, 60_000, rng)[..., 0] @ s.T))
    assert np.all(error < 1e-3)


def test_the_standard_error_is_that_of_other_keys(rng):
    X, s = rng.standard_normal((4, 6)), 2.0 * rng.standard_normal(4)
    network = ww.FullyConnected([4], "erf", PRECISIONS)
    runs = np.array(
        [
            characteristic_function(network, X, s, law="network", draws=1024, key=key, standard_error=True)
            for key in range(40)
        ]
    )
    assert 0.6 < runs[:, 0].std(ddof=1) / runs[:, 1].mean() < 1.6


def fourth_cumulant(phi, variance):
    """κ_4 and E g² of g = s φ(h), s = 1, by Gauss–Hermite."""
    z, w = np.polynomial.hermite_e.hermegauss(120)
    g = phi(math.sqrt(variance) * z)
    second, fourth = w @ g**2 / w.sum(), w @ g**4 / w.sum()
    return fourth - 3 * second**2


def test_network_and_mixture_differ_by_the_fourth_cumulant():
    """log χ_network − log χ_mixture = κ_4/(8 λ_1² N_1) + O(1/N_1²): the remainder falls as N_1^−2."""
    X, s = np.array([[0.9, -1.4]]), np.array([1.6])
    kappa4 = s[0] ** 4 * fourth_cumulant(special.erf, float(X[0] @ X[0]) / 2 / 0.6)
    widths, rest = np.array([25, 50, 100, 200, 400]), []
    for N in widths:
        network = ww.FullyConnected([int(N)], "erf", PRECISIONS)
        gap = np.log(characteristic_function(network, X, s, law="network") / characteristic_function(network, X, s))
        rest.append(gap - kappa4 / (8 * 1.7**2 * N))
        assert abs(gap) > 5 * abs(rest[-1])
    slope = np.polyfit(np.log(widths), np.log(np.abs(rest)), 1)[0]
    assert slope == pytest.approx(-2.0, abs=0.1)
    assert abs(kappa4) > 0.1


def test_the_order_holds_along_any_direction(rng):
    X, s = rng.standard_normal((3, 5)), 1.5 * rng.standard_normal(3)
    g = special.erf(rng.standard_normal((400_000, 5)) @ X.T / np.sqrt(5 * 0.6)) @ s
    kappa4 = np.mean(g**4) - 3 * np.mean(g**2) ** 2
    network = ww.FullyConnected([300], "erf", PRECISIONS)
    one, error = characteristic_function(network, X, s, law="network", draws=1 << 16, standard_error=True)
    gap = 300 * np.log(one / characteristic_function(network, X, s))
    assert gap == pytest.approx(kappa4 / (8 * 1.7**2), rel=0.05, abs=4 * 300 * error / one)


@pytest.mark.parametrize("widths", [(3, 5), (4, 2, 6)])
def test_deep_linear_networks_against_their_weights(widths, rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal((4, 3))
    network = ww.FullyConnected(widths, "identity", (0.6, 1.7, 0.8, 1.2)[: len(widths) + 1])
    f = forward(network, X, 60_000, rng)[..., 0]
    agree(characteristic_function(network, X, s), 0.0, np.cos(f @ s.T))
    value, error = characteristic_function(network, X, s, law="network", draws=4000, standard_error=True)
    assert np.all(np.abs(value - characteristic_function(network, X, s)) < 4.5 * error)


def test_deep_networks_of_any_activation_against_their_weights(rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal((4, 3))
    network = ww.FullyConnected((5, 3), "erf", (0.6, 1.7, 0.8), (0.2, 0.5))
    value, error = characteristic_function(network, X, s, law="network", standard_error=True)
    agree(value, error, np.cos(forward(network, X, 60_000, rng)[..., 0] @ s.T))


@pytest.mark.parametrize("widths", [(3,), (1,), (4, 2), (2, 5, 3)])
def test_several_outputs_of_linear_networks_against_their_weights(widths, rng):
    X, s = rng.standard_normal((3, 4)), 0.7 * rng.standard_normal((4, 3, 2))
    network = ww.FullyConnected(widths, "identity", (0.6, 1.7, 0.8, 1.2)[: len(widths) + 1])
    values = np.cos(np.einsum("npd,mpd->nm", forward(network, X, 60_000, rng, D=2), s))
    for law in ("mixture", "network"):
        found = characteristic_function(network, X, s, law=law, outputs=2, draws=8192, standard_error=True)
        agree(*found, values)


@pytest.mark.parametrize("law", ["mixture", "network", "gaussian", "student-t"])
def test_one_of_several_outputs_is_one_output(law, rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal(3)
    network = ww.FullyConnected([5], "erf", PRECISIONS)
    both = np.column_stack([s, np.zeros(3)])
    O = stats.ortho_group.rvs(2, random_state=rng)
    alone = characteristic_function(network, X, s, law=law)
    for field in (both, both @ O):
        assert characteristic_function(network, X, field, law=law, outputs=2) == pytest.approx(alone, rel=1e-10)
    assert characteristic_function(network, X, 0 * s, law=law) == 1.0


def test_of_the_t_process_against_its_draws(rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal((4, 3))
    network = ww.FullyConnected([5], "erf", PRECISIONS)
    law = stats.multivariate_t(shape=kernel(network, X), df=3.5, seed=rng)
    value = characteristic_function(network, X, s, law="student-t", degrees_of_freedom=3.5)
    agree(value, 0.0, np.cos(law.rvs(100_000) @ s.T))


@pytest.mark.parametrize("activation", ["erf", "identity"])
def test_a_very_large_s_is_answered_by_zero(activation, rng):
    X, network = rng.standard_normal((3, 5)), ww.FullyConnected([5], activation, PRECISIONS)
    value, error = characteristic_function(network, X, np.full(3, 1e8), law="network", standard_error=True)
    assert 0.0 <= value < 1e-30
    assert 0.0 <= error < 1e-30


@pytest.mark.parametrize(("law", "depth"), [("mixture", 1), ("mixture", 2), ("network", 1), ("student-t", 2)])
def test_all_laws_become_gaussian(law, depth, rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal((2, 3))
    network = ww.FullyConnected([10**7] * depth, "erf", (0.6, 1.7, 0.9)[: depth + 1])
    wide = characteristic_function(network, X, s, law="gaussian")
    np.testing.assert_allclose(wide, np.exp(-0.5 * np.einsum("mp,pq,mq->m", s, kernel(network, X), s)), rtol=1e-12)
    found, error = characteristic_function(network, X, s, law=law, draws=1 << 17, standard_error=True)
    assert np.all(np.abs(found - wide) < 3e-6 + 4.5 * error)
    assert np.all(error < 1e-4)


def test_the_second_derivative_at_zero_is_the_kernel(rng):
    X = rng.standard_normal((2, 3))
    for widths in ((4,), (6, 3)):
        network = ww.FullyConnected(widths, "erf", (0.6, 1.7, 0.8)[: len(widths) + 1])
        K, h = kernel(network, X), 1e-3
        for law in ("mixture", "gaussian"):
            along = [-2 * np.log(characteristic_function(network, X, h * e, law=law)) / h**2 for e in np.eye(2)]
            np.testing.assert_allclose(along, K.diagonal(), rtol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("readout", ["dense", "average"])
def test_linear_convolutions_are_their_mixture(readout, padding, rng):
    X, s = rng.standard_normal((3, 4, 4)), 1.2 * rng.standard_normal((4, 3))
    network = ww.Convolutional(2, 2, stride=2, activation="identity", padding=padding, readout=readout,
                               weight_precisions=PRECISIONS, bias_variance=0.3)  # fmt: skip
    found = characteristic_function(network, X, s)
    value, error = characteristic_function(network, X, s, law="network", standard_error=True)
    assert np.all(np.abs(found - value) < 4.5 * error)
    assert np.all(np.abs(found - characteristic_function(network, X, s, law="gaussian")) > 3 * error)


def test_of_a_precomputed_kernel(rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal(3)
    network = ww.FullyConnected([5], "erf", PRECISIONS)
    found = characteristic_function(ww.PrecomputedKernel([5]), kernel(network, X), s)
    assert found == pytest.approx(characteristic_function(network, X, s), rel=1e-13)


def test_shapes(rng):
    X, network = rng.standard_normal((3, 4)), ww.FullyConnected([5], "erf")
    for law in ("mixture", "network", "gaussian", "student-t"):
        s = rng.standard_normal((2, 4, 3))
        assert characteristic_function(network, X, s, law=law).shape == (2, 4)
        assert isinstance(characteristic_function(network, X, s[0, 0], law=law), float)
        assert isinstance(characteristic_function(network, X, s.transpose(0, 2, 1)[0], law=law, outputs=4), float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s": np.zeros(4)}, r"s: expected shape \(…, 3\), got \(4,\)"),
        ({"s": np.zeros((3, 2)), "outputs": 4}, r"s: expected shape \(…, 3, 4\), got \(3, 2\)"),
        ({"s": [1.0, np.nan, 0.0]}, "s: expected finite numbers"),
        ({"law": "mixtur"}, "did you mean 'mixture'"),
        ({"draws": 3}, "draws: expected a whole number of at least 16"),
        ({"key": -1}, "key: expected a whole number of at least 0"),
        ({"outputs": 0}, "outputs: expected a whole number of at least 1"),
        ({"degrees_of_freedom": 0.0, "law": "student-t"}, "degrees_of_freedom: expected a finite number above zero"),
        ({"network": ww.PrecomputedKernel([3]), "X": np.eye(3), "law": "network"}, "expected a network with weights"),
        ({"network": ww.FullyConnected([3, 3], "erf", bias_variance=0.1)}, "got biases above the first layer"),
        ({"network": ww.FullyConnected([3, 3], "erf", closure="nested")}, "got closure='nested'"),
        ({"network": ww.Convolutional((3, 3), 2), "X": np.ones((3, 4, 4))}, "expected one convolutional layer"),
        (
            {"network": ww.Convolutional(3, 2), "X": np.ones((3, 4, 4)), "outputs": 2, "s": np.zeros((3, 2))},
            "expected one output of a dense readout",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(change, message):
    asked = {"network": ww.FullyConnected([5], "erf"), "X": np.eye(3), "s": np.ones(3)} | change
    network, X, s = asked.pop("network"), asked.pop("X"), asked.pop("s")
    with pytest.raises(InputError, match=message):
        characteristic_function(network, X, s, **asked)


def test_draws_have_the_characteristic_function(rng):
    X, s = rng.standard_normal((3, 4)), rng.standard_normal((4, 3))
    network = ww.FullyConnected((5, 3), "relu", (0.6, 1.7, 0.8))
    for law in ("mixture", "network", "gaussian", "student-t"):
        value, error = characteristic_function(network, X, s, law=law, standard_error=True)
        agree(value, error, np.cos(draw(network, X, 40_000, key=4, law=law) @ s.T))
