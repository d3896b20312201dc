"""`scan` against `infer`, point by point."""

import numpy as np
import pytest

import widthwise as ww


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_scan_is_infer_at_every_point(rng, activation):
    X = rng.normal(size=(60, 5))
    y = np.sign(X[:, 0] * X[:, 1] + 0.2)
    X, X_test, y, y_test = X[:45], X[45:], y[:45], y[45:]
    network = ww.FullyConnected([30], activation, (1.5, 0.7))
    prepared = ww.prepare(network, X)
    width, temperature, precision = (
        a.ravel() for a in np.meshgrid([1, 8, 300, 10**6], [1e-4, 0.1, 5.0], [0.2, 0.7, 3.0])
    )
    table = ww.scan(
        prepared, y, width=width, temperature=temperature, readout_precision=precision, X_test=X_test, y_test=y_test
    )
    at = prepared.at(X_test)
    for i in range(len(width)):
        posterior = ww.infer(
            prepared,
            y,
            temperature=temperature[i],
            widths=[width[i]],
            readout_precision=precision[i],
            approximation="saddle",
        )
        score = posterior.score(at, y_test)
        np.testing.assert_allclose(table.Q[i], posterior.order_parameters["Q"][0], rtol=1e-8)
        np.testing.assert_allclose(table.training_total[i], posterior.training_error.total, rtol=1e-7)
        np.testing.assert_allclose(table.training_bias[i], posterior.training_error.bias, rtol=1e-7)
        np.testing.assert_allclose(table.test_total[i], score.total, rtol=1e-7)
        np.testing.assert_allclose(table.test_bias[i], score.bias, rtol=1e-7)
        assert table.accuracy[i] == score.accuracy
        np.testing.assert_allclose(table.log_evidence[i], posterior.log_evidence, rtol=1e-7, atol=1e-5)
        np.testing.assert_allclose(table.tau[i], posterior.validity.tau, rtol=1e-7)
        np.testing.assert_allclose(table.rho[i], posterior.validity.rho, rtol=1e-6, atol=1e-12)
    assert table.converged.all()


def test_scan_refuses_bad_points(rng):
    X, y = rng.normal(size=(6, 2)), rng.normal(size=6)
    prepared = ww.prepare(ww.FullyConnected([3]), X)
    for change, message in (
        ({"width": [2.5]}, "whole numbers"),
        ({"width": [0]}, "above zero"),
        ({"temperature": [0.1, -1]}, "above zero"),
        ({"width": [1, 2], "temperature": [1.0, 2.0, 3.0]}, "one length"),
        ({"X_test": X}, "together"),
    ):
        with pytest.raises(ww.InputError, match=message):
            ww.scan(prepared, y, **({"temperature": [0.1]} | change))
    assert ww.scan(prepared, y, temperature=0.1).accuracy is None
