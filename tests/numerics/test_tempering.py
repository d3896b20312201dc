"""Tempered Hamiltonian Monte Carlo against laws whose weights and normalisers are known."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from widthwise.numerics import tempering
from widthwise.numerics.hamiltonian import monte_carlo

HOW = {"ladders": 16, "levels": 6, "draws": 600, "warmup": 120}


class Modes(NamedTuple):
    """Two round Gaussians in the plane, reached from one of another precision."""

    centres: object
    weights: object
    deviation: object
    precision: object
    height: object  # log of the normaliser


MODES = Modes(
    np.array([[-2.6, 0.4], [2.2, 0.8]]), np.array([0.2, 0.8]), np.float64(0.35), np.float64(0.7), np.float64(2.3)
)


def density(z, modes):
    """exp(b) N(0, I) is N(0, I/precision), not normalised, and exp(b + c) N(0, I) the two modes times e^height."""
    base = -0.5 * (modes.precision - 1.0) * (z @ z)
    off = (z - modes.centres) / modes.deviation
    each = jnp.log(modes.weights) - 0.5 * jnp.sum(off * off, axis=1) - 2.0 * jnp.log(modes.deviation)
    return base, modes.height + jax.scipy.special.logsumexp(each) + 0.5 * (z @ z) - base


def refresh(key, modes):
    return jax.random.normal(key, (2,)) / jnp.sqrt(modes.precision)


def run(modes=MODES, seed=3, **how):
    with jax.enable_x64(True):
        return tempering.temper(density, refresh, modes, **(HOW | how), seed=seed)


@pytest.fixture(scope="module")
def tempered():
    return run()


def within(values, exact, limit=4.5):
    """A mean over ladders (C, S), by the scatter of the ladders alone."""
    means = values.mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(len(means))
    assert abs(means.mean() - exact) < limit * error, (means.mean(), exact, error)
    return error


def test_modes_have_their_weights_and_their_widths(tempered):
    z = tempered.positions
    assert z.shape == (16, 600, 2)
    assert z.dtype == np.float64
    right = z[..., 0] > 0
    assert within(right.astype(float), 0.8) < 0.03
    off = z - MODES.centres[right.astype(int)]
    for i in range(2):
        within(off[..., i], 0.0)
        within(off[..., i] ** 2, 0.35**2)
    assert monte_carlo(z[..., 0]).rhat < 1.05


def test_the_normaliser_is_that_of_quadrature(tempered):
    """∫ e^{b+c} N(0, I) over ∫ e^b N(0, I) on a grid of the plane, and in closed form e^height precision."""
    grid = np.linspace(-7.0, 7.0, 401)
    z = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    with jax.enable_x64(True):
        b, c = (np.asarray(part) for part in jax.vmap(density, (0, None))(z, MODES))
    reference = -0.5 * (z**2).sum(axis=1)
    exact = logsumexp(reference + b + c) - logsumexp(reference + b)
    assert exact == pytest.approx(2.3 + math.log(0.7), abs=1e-6)
    assert abs(tempered.log_ratio - exact) < 4.5 * tempered.standard_error
    assert tempered.standard_error < 0.05


def test_every_level_has_its_own_law(tempered):
    """⟨c⟩ at β of exp(b + βc) N(0, I), by quadrature."""
    grid = np.linspace(-8.0, 8.0, 401)
    z = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    with jax.enable_x64(True):
        b, c = (np.asarray(part) for part in jax.vmap(density, (0, None))(z, MODES))
    for level, beta in enumerate(tempered.betas):
        log_p = b + beta * c - 0.5 * (z**2).sum(axis=1)
        p = np.exp(log_p - log_p.max())
        within(tempered.coupling[:, :, level], float(p @ c / p.sum()))


def test_the_ladder(tempered):
    assert tempered.betas[0] == 0.0
    assert tempered.betas[-1] == 1.0
    assert (np.diff(tempered.betas) > 0).all()
    assert tempered.coupling.shape == (16, 600, 6)
    assert ((tempered.acceptance > 0.5) & (tempered.acceptance <= 1.0)).all()
    assert np.ptp(tempered.exchanges) < 0.35  # moved until neighbours refuse alike
    assert tempered.barrier == pytest.approx(np.sum(1 - tempered.exchanges))
    best = 1.0 / (2.0 + 2.0 * tempered.barrier) / len(tempered.betas)
    assert 0.4 * best < tempered.round_trip_rate < 1.2 * best
    assert tempered.round_trips > 100


def test_the_coupling_told_is_that_of_the_draws(tempered):
    """At β = 1, after moves refused and taken, and exchanges; a state that stays has the value it had."""
    assert tempered.acceptance[-1] < 0.999
    assert (tempered.exchanges < 0.999).all()
    with jax.enable_x64(True):
        _, c = jax.vmap(density, (0, None))(tempered.positions.reshape(-1, 2), MODES)
    np.testing.assert_allclose(tempered.coupling[:, :, -1].ravel(), np.asarray(c), rtol=1e-9)


def test_seeds_decide(tempered):
    assert np.array_equal(tempered.positions, run().positions)
    assert not np.array_equal(tempered.positions, run(seed=4).positions)


def test_the_number_of_draws_is_what_was_asked_for(tempered):
    """Draws come in tens: what is too much is left out, and more of them begin alike."""
    few = run(draws=23)
    assert few.positions.shape == (16, 23, 2)
    assert few.coupling.shape == (16, 23, 6)
    assert np.array_equal(few.positions, tempered.positions[:, :23])


def test_without_coupling_nothing_is_refused():
    """Both ends are the same Gaussian: c = 0, every exchange is taken, log Z_1/Z_0 = 0, and replicas go straight."""
    flat = MODES._replace(
        centres=np.zeros((2, 2)), deviation=np.float64(1.0), precision=np.float64(1.0), height=np.float64(0.0)
    )
    found = run(flat, draws=100)
    np.testing.assert_allclose(found.exchanges, 1.0, atol=1e-12)
    np.testing.assert_allclose(found.acceptance, 1.0, atol=1e-12)
    assert found.barrier == pytest.approx(0.0, abs=1e-9)
    assert found.log_ratio == pytest.approx(0.0, abs=1e-9)
    assert found.round_trip_rate == pytest.approx(1.0 / 12.0, rel=0.25)  # to and fro in twice as many steps as levels
    within(found.positions[..., 0], 0.0)
    within(found.positions[..., 1] ** 2, 1.0)


def test_log_ratio_of_independent_draws():
    """c = g z, z ~ N(β g, 1) drawn exactly at each β: log Z_1/Z_0 = g²/2; the errors said are the errors made."""
    rng, g, betas = np.random.default_rng(5), 1.9, np.array([0.0, 0.3, 0.65, 1.0])
    off, said = [], []
    for _ in range(40):
        z = betas * g + rng.normal(size=(6, 150, 4))
        ratio, error = tempering.log_ratio(betas, g * z)
        off.append(ratio - 0.5 * g * g)
        said.append(error)
    assert abs(np.mean(off)) < 4.5 * np.std(off) / math.sqrt(40)
    assert 0.7 < np.sqrt(np.mean(np.square(said))) / np.std(off) < 1.4
    one, error = tempering.log_ratio(betas, g * z[:1])
    assert math.isfinite(one)
    assert error == math.inf


def test_round_trips_of_a_trace_by_hand():
    """Three levels, one ladder: who is where after each transition, from the first level to the last."""
    trace = np.array(
        [
            [[0, 1, 2]],  # 2 is at the top, but has not come from the bottom
            [[1, 0, 2]],
            [[1, 2, 0]],  # 0 has been at both ends
            [[2, 1, 0]],  # 2 arrives from the top: no journey of its own
            [[2, 0, 1]],
            [[0, 2, 1]],  # 0 is back: one
            [[0, 1, 2]],
            [[1, 0, 2]],  # 1 had gone up before: two
            [[1, 2, 0]],
            [[2, 1, 0]],  # 2 is back: three
        ]
    )
    assert tempering.round_trips(trace) == 3
    assert tempering.round_trips(np.concatenate([trace, trace], axis=1)) == 6  # two ladders
    assert tempering.round_trips(trace[:5]) == 0
    still = np.broadcast_to(np.arange(3), (50, 2, 3))
    assert tempering.round_trips(still) == 0


def test_equalised():
    """Where rejections grow the ladder gets finer; step sizes go with β."""
    betas, sizes = np.array([0.0, 0.25, 0.5, 1.0]), np.array([0.4, 0.3, 0.2, 0.1])
    new, moved = tempering._equalised(betas, sizes, np.array([0.1, 0.1, 0.7]))
    np.testing.assert_allclose(new, [0.0, 0.5 + 0.1 / 0.7 * 0.5, 0.5 + 0.4 / 0.7 * 0.5, 1.0])
    np.testing.assert_allclose(np.log(moved), np.interp(new, betas, np.log(sizes)))
    same, _ = tempering._equalised(np.linspace(0, 1, 4), sizes, np.full(3, 0.2))
    np.testing.assert_allclose(same, np.linspace(0, 1, 4))
