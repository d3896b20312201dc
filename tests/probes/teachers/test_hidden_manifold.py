"""Hidden-manifold teachers: x lies where it should, y is of what it should be."""

import numpy as np
import pytest
from scipy.special import erf, erfinv

from widthwise.probes import Teacher


def test_inputs_are_images_of_the_latent():
    teacher = Teacher.hidden_manifold(30, 6, 3, key=1)
    c, X = teacher.latent(200, key=4), teacher.inputs(200, key=4)
    assert np.allclose(X, erf(c @ teacher.factors.T / np.sqrt(6)))
    assert np.linalg.matrix_rank(erfinv(X), tol=1e-5) == 6
    assert np.linalg.matrix_rank(X, tol=1e-5) == 30  # bent: it fills the space
    assert teacher.factors.var() == pytest.approx(1.0, rel=0.3)


def test_labels_are_of_the_latent():
    teacher = Teacher.hidden_manifold(30, 6, 3, readout=[1.0, -2.0, 0.5], key=1)
    X, y = teacher.sample(50, key=4)
    c = np.sqrt(6) * np.linalg.lstsq(teacher.factors, erfinv(X).T, rcond=None)[0].T
    expected = erf(2.0 * c @ teacher.task.units.T) @ [1.0, -2.0, 0.5]
    assert np.allclose(y, expected, atol=1e-6)
    assert teacher.units is None
    assert teacher.task.units.shape == (3, 6)
    shallow = Teacher.one_hidden_layer(6, 3, readout=[1.0, -2.0, 0.5], key=1)
    assert teacher.power == pytest.approx(shallow.power)
    assert np.allclose(teacher.spectrum(7), shallow.spectrum(7))


def test_labels_are_of_the_inputs():
    teacher = Teacher.hidden_manifold(10, 4, 6, target="inputs", gain=1.5, key=1)
    X, y = teacher.sample(50, key=4)
    assert np.allclose(y, erf(1.5 * X @ teacher.units.T) @ teacher.readout)
    assert np.allclose(teacher(X), y)
    assert teacher.units.shape == (6, 10)


def test_covariance_of_erf_is_arcsine_and_of_a_linear_fold_the_factors():
    teacher = Teacher.hidden_manifold(5, 3, 2, key=1)
    C = teacher.factors @ teacher.factors.T / 3
    norm = np.sqrt(1 + 2 * np.diag(C))
    assert np.allclose(teacher.input_covariance, 2 / np.pi * np.arcsin(2 * C / np.outer(norm, norm)))
    assert np.allclose(teacher.input_mean, 0)
    flat = Teacher.hidden_manifold(5, 3, 2, fold="identity", key=1)
    assert np.allclose(flat.input_covariance, C)
    assert np.linalg.matrix_rank(flat.input_covariance) == 3


def test_a_linear_task_of_folded_inputs():
    """E y and E y² by the covariance of x against a Gaussian integral with nodes in c."""
    teacher = Teacher.hidden_manifold(
        4, 1, 2, fold="relu", target="inputs", activation="identity", gain=0.7, readout=[1.0, -3.0], key=5
    )
    z = np.linspace(-12, 12, 480_001)
    weights = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    y = teacher(np.maximum(z[:, None] @ teacher.factors.T, 0.0))
    assert teacher.mean == pytest.approx(weights @ y, rel=1e-8)
    assert teacher.power == pytest.approx(weights @ y**2, rel=1e-8)
