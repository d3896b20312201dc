"""Thousands of saddles at once against one at a time."""

import numpy as np
import pytest

from widthwise.actions.batch import minimise_all
from widthwise.actions.scalar import ScalarAction
from widthwise.numerics.spectra import EigenSpectrum, Eigensystem

SPECTRA = {
    "power law": lambda P, rng: np.arange(1, P + 1) ** -rng.uniform(0.0, 4.0),
    "two clusters": lambda P, rng: np.where(rng.random(P) < 0.4, 1e-5, 1.0) * (1.0 + rng.random(P)),
    "low rank": lambda P, rng: np.where(np.arange(P) <= P // 10, P * rng.exponential(size=P), 0.0),
    "all equal": lambda P, rng: np.full(P, 0.7),
    "ten decades": lambda P, rng: np.geomspace(1e-9, 10.0, P),
    "zero": lambda P, rng: np.zeros(P),
}
TARGETS = {
    "random": lambda k, rng: rng.standard_normal(len(k)),
    "zero": lambda k, rng: np.zeros(len(k)),
    "large": lambda k, rng: 100.0 * rng.standard_normal(len(k)),
    "learnable": lambda k, rng: np.sqrt(k + 1e-3) * rng.standard_normal(len(k)),
    "unlearnable": lambda k, rng: np.where(k <= np.median(k), 10.0, 0.0) * rng.standard_normal(len(k)),
}


def compare(k, coordinates, width, temperature, scale):
    """Both ways; returns the batch and how many minima the one-at-a-time search saw."""
    found = minimise_all(k, coordinates**2, width, temperature, scale)
    assert found.converged.all()
    spectrum = EigenSpectrum(Eigensystem(k, np.eye(len(k))), coordinates)
    minima = []
    for g in range(len(width)):
        action = ScalarAction(spectrum, int(width[g]), float(temperature[g]), float(scale[g]))
        best = action.saddle.check("S", "none").best
        assert found.Q[g] == pytest.approx(action.Q, rel=1e-8), (width[g], temperature[g], scale[g])
        assert found.value[g] == pytest.approx(best.value, rel=1e-10, abs=1e-10)
        assert found.curvature[g] == pytest.approx(best.hessian[0], rel=1e-6)
        terms = action.terms(float(found.Q[g]))
        for name in ("trace", "dual_energy", "log_det", "quadratic", "dual_norm"):
            assert getattr(found, name)[g] == pytest.approx(getattr(terms, name), rel=1e-10, abs=1e-300), name
        minima.append(sum(point.kind == "minimum" for point in action.saddle.points))
    return found, minima


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize("P", [1, 2, 150])
def test_one_at_a_time(kind, target, P, rng):
    k = np.sort(SPECTRA[kind](P, rng))
    G = 12
    width, temperature = np.round(10 ** rng.uniform(0, 4, G)), 10 ** rng.uniform(-8, 2, G)
    compare(k, TARGETS[target](k, rng), width, temperature, 10 ** rng.uniform(-2, 2, G))


@pytest.mark.parametrize(("width", "P"), [(1.0, 400), (1e6, 2)])
def test_extreme_loads(width, P, rng):
    k = np.sort(SPECTRA["power law"](P, rng))
    temperature = np.geomspace(1e-10, 1e3, 9)
    compare(k, rng.standard_normal(P), np.full(9, width), temperature, np.ones(9))


def test_the_lower_of_two_minima(rng):
    """Weak directions carry nearly all of the target: S has a minimum that ignores them and one that fits them."""
    k = np.sort(np.concatenate([3e-5 * rng.exponential(size=12), 1.0 + rng.exponential(size=48)]))
    coordinates = np.where(k < 0.1, 30.0, 0.03) * rng.standard_normal(60)
    width, temperature = np.meshgrid(np.geomspace(2, 60, 8).round(), np.geomspace(1e-4, 3e-1, 10))
    found, minima = compare(k, coordinates, width.ravel(), temperature.ravel(), np.ones(80))
    np.testing.assert_array_equal(found.minima, minima)
    assert max(minima) == 2
    several = np.array(minima) == 2
    assert found.Q[several].max() > 10 * found.Q[several].min()  # either well is the lowest somewhere


def test_no_points_of_one_batch_lean_on_another(rng):
    k, coordinates = np.sort(rng.exponential(size=40)), rng.standard_normal(40)
    width, temperature = np.array([3.0, 500.0, 40.0]), np.array([1e-6, 10.0, 1e-2])
    together = minimise_all(k, coordinates**2, width, temperature, np.ones(3))
    for g in range(3):
        alone = minimise_all(k, coordinates**2, width[[g]], temperature[[g]], np.ones(1))
        assert together.Q[g] == pytest.approx(alone.Q[0], rel=1e-10)
