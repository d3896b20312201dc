"""A student: its formula by hand, deep and with biases; the user's own; refusals."""

import sys

import numpy as np
import pytest
from scipy.special import erf

from widthwise.errors import InputError
from widthwise.probes import Student


def test_one_hidden_layer(rng):
    W, a, b, X = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=3), rng.normal(size=(5, 4))
    plain, biased = Student(W, a), Student(W, a, "tanh", b)
    np.testing.assert_allclose(plain(X), sum(a[i] * erf(X @ W[i]) for i in range(3)), atol=1e-14)
    np.testing.assert_allclose(biased(X), np.tanh(X @ W.T + b) @ a, atol=1e-14)
    np.testing.assert_allclose(biased.hidden(X), np.tanh(X @ W.T + b), atol=1e-14)
    np.testing.assert_array_equal(biased.predict(X), biased(X))
    assert (plain.parameters, biased.parameters) == (15, 18)
    assert (plain.status, plain.method, plain.training_error) == ("given", "given", None)
    assert repr(plain) == "Student(erf network, width 3, given, given)"
    with pytest.raises(ValueError, match="read-only"):
        plain.weights[0, 0] = 1.0
    W[0, 0] += 1.0
    assert plain.weights[0, 0] != W[0, 0]


def test_deeper(rng):
    W, b, V, a, X = (rng.normal(size=shape) for shape in ((3, 4), 3, (2, 3), 2, (5, 4)))
    deep = Student(W, a, "tanh", b, ((V, None),))
    np.testing.assert_allclose(deep(X), np.tanh(np.tanh(X @ W.T + b) @ V.T) @ a, atol=1e-14)
    assert deep.hidden(X).shape == (5, 2)
    assert deep.parameters == 12 + 3 + 6 + 2
    assert [V.shape for V, _ in deep.layers] == [(3, 4), (2, 3)]
    assert "width 3-2" in repr(deep)


def test_the_users_own(rng):
    W, a, X = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=(5, 4))
    own = Student(W, a)
    given = Student.of_functions(lambda X: own(X)[:, None], hidden=own.hidden, first_layer=W, parameters=15)
    np.testing.assert_array_equal(given(X), own(X))
    np.testing.assert_array_equal(given.hidden(X), own.hidden(X))
    np.testing.assert_array_equal(given.weights, W)
    assert (given.parameters, given.has_hidden, given.layers) == (15, True, None)
    bare = Student.of_functions(own)
    assert (bare.parameters, bare.has_hidden, bare.weights, bare.readout) == (None, False, None, None)
    with pytest.raises(InputError, match="pass hidden=function"):
        bare.hidden(X)
    assert repr(bare) == "Student(of functions)"


def test_torch_networks(rng):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(4, 1).double()
    student = Student.of_functions(lambda X: layer(torch.as_tensor(X)))
    X = rng.normal(size=(5, 4))
    np.testing.assert_allclose(student(X), X @ layer.weight[0].detach().numpy() + layer.bias.item(), atol=1e-12)
    given = Student.of_functions(student, first_layer=layer.weight)  # which requires a gradient
    np.testing.assert_array_equal(given.weights, layer.weight.detach().numpy())
    weights = Student(layer.weight, torch.ones(1, requires_grad=True), "identity", layer.bias)
    np.testing.assert_allclose(weights(X), student(X), atol=1e-12)


def test_a_regressor_of_scikit_learns(rng):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = rng.normal(size=(9, 4)), rng.normal(size=9)
    regressor = linear_model.Ridge().fit(X, y)
    np.testing.assert_array_equal(Student.of_functions(regressor)(X), regressor.predict(X))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(4), np.ones(3)), r"weights: expected shape \(N1, N0\), got \(4,\)"),
        ((np.ones((3, 4)), np.ones(4)), "readout: expected one number for each of 3 units, got 4"),
        ((np.ones((3, 4)), np.full(3, np.nan)), "readout: expected finite numbers"),
        ((np.ones((3, 4)), np.ones(3), "erff"), "did you mean 'erf'"),
        ((np.ones((3, 4)), np.ones(3), "erf", np.ones(2)), "biases: expected one bias for each of 3 units, got 2"),
        ((np.ones((3, 4)), np.ones(3), "erf", None, ((np.ones((3, 2)), None),)), "above: expected 3 columns"),
    ],
)
def test_what_is_no_student_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Student(*arguments)


def test_what_cannot_be_asked_is_refused():
    student = Student(np.ones((3, 4)), np.ones(3))
    with pytest.raises(InputError, match="expected 4 features"):
        student(np.ones((2, 3)))
    with pytest.raises(InputError, match="predict: expected a function of X, got int"):
        Student.of_functions(3)
    with pytest.raises(InputError, match="expected one output, got 2"):
        Student.of_functions(lambda X: np.ones((2, 2)))(np.ones((2, 4)))


def test_a_student_needs_no_jax():
    import subprocess

    code = (
        "import sys, numpy as np; from widthwise.probes import Student, train; "
        "Student(np.ones((3, 4)), np.ones(3))(np.ones((2, 4))); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
