"""deepbays' published models, where it is installed: `pip install torch==2.13.0; pip install --no-deps deepbays`.

Its nested deep network and its convolutional one (stride = mask) at their saddles; its several-output class does not
run (it overwrites the number of outputs with a kernel), and the index version has no other.
"""

import importlib
import sys
import warnings
from unittest import mock

import numpy as np
import pytest

import widthwise as ww

pytest.importorskip("torch")
T = 0.05


@pytest.fixture(scope="module")
def deepbays():
    """The package, with stand-ins for what it imports, undeclared, and these models never use."""
    names = ("cupy", "cupy.cuda", "torchvision", "torchvision.datasets", "torchvision.transforms")
    absent = [name for name in names if name not in sys.modules]
    with mock.patch.dict(sys.modules, {name: mock.MagicMock() for name in absent}):
        try:
            yield lambda name: importlib.import_module(f"deepbays.rkgp.{name}")
        except ImportError as fault:
            pytest.skip(f"deepbays cannot be imported: {fault}")


def problem(P, side, seed=0):
    rng = np.random.default_rng(seed)
    X, X_test = rng.normal(size=(P, side, side)), rng.normal(size=(9, side, side))
    X, X_test = X + 0.5 * X[:, ::-1], X_test + 0.5 * X_test[:, ::-1]
    target = lambda Z: np.tanh(Z[:, 0, 0] - Z[:, 1, 2] + Z[:, 0, 1] * Z[:, 2, 0])  # noqa: E731
    return X, target(X), X_test, target(X_test)


def load(deepbays, name):
    try:
        return deepbays(name)
    except ImportError as fault:
        pytest.skip(f"deepbays cannot be imported: {fault}")


# its relu does not converge beyond one layer: the derivative of arccos is infinite on the diagonal
@pytest.mark.parametrize(
    ("activation", "lam"),
    [
        ("erf", (1.3, 0.7)),
        ("erf", (1.3, 0.7, 1.8)),
        ("erf", (1.0, 2.0, 0.6, 1.4)),
        ("relu", (1.3, 0.7)),
    ],
)
def test_its_deep_network_is_the_nested_closure(deepbays, activation, lam):
    import torch

    X, y, X_test, y_test = problem(24, 4)
    X, X_test, N, depth = X.reshape(24, -1), X_test.reshape(9, -1), 17, len(lam) - 1
    theirs = load(deepbays, "theory_deep_FC").FC_deep(depth, N, T, list(lam), activation)
    theirs.preprocess(X, torch.tensor(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its solver's complaints of slow progress, close to the solution
        theirs.optimize()
    assert theirs.converged
    mean = np.asarray(theirs.predict(X_test))
    total = theirs.averageLoss(y_test)[0]
    network = ww.FullyConnected([N] * depth, activation, lam, closure="nested")
    posterior = ww.infer(network, X, y, temperature=T)
    score = posterior.score(X_test, y_test)
    np.testing.assert_allclose(posterior.order_parameters["Q"], theirs.optQ, rtol=1e-6)
    np.testing.assert_allclose(posterior.predict(X_test).mean, mean, rtol=1e-6, atol=1e-8)
    assert score.total == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
def test_its_convolutional_network_is_ours_at_the_saddle(deepbays, pooled):
    import torch

    X, y, X_test, y_test = problem(16, 6, seed=1)
    channels, lam = 40, (1.3, 0.7)
    theirs = load(deepbays, "theory_1HL_CONV").CONV_1HL(channels, T, 3, 3, *lam, "erf")
    theirs.preprocess(X.reshape(16, -1), torch.tensor(y))
    if pooled:
        theirs.setPooling()
        readout, approximation = "average", "infinite"
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.optimize(minimizationTol=1e-12)
        assert theirs.converged
        readout, approximation = "dense", "saddle"
    theirs.Y = y  # NumPy's again: its predictions mix the two libraries
    mean = np.asarray(theirs.predict(X_test.reshape(9, -1)))
    total = theirs.averageLoss(y_test)[0]
    network = ww.Convolutional(channels, 3, activation="erf", weight_precisions=lam, readout=readout)
    posterior = ww.infer(network, X, y, temperature=T, approximation=approximation)
    if not pooled:
        np.testing.assert_allclose(posterior.order_parameters["Q"], theirs.optQ, atol=1e-6)
    np.testing.assert_allclose(posterior.predict(X_test).mean, mean, rtol=1e-5, atol=1e-6)
    assert posterior.score(X_test, y_test).total == pytest.approx(float(total), rel=1e-6)
