"""The theory's own error bar: exact cases, invariances, limits, and its weights found again from the sampled truth."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

import widthwise as ww
from widthwise.posterior import error_bar as room
from widthwise.posterior.error_bar import POINTS, WEIGHTS, ErrorBar, Points, evidence

ROOT = Path(__file__).parents[2]
T = 0.2


@pytest.fixture(scope="module")
def data():
    X, y, X_test, y_test = ww.load_data("digits", classes="parity", train_size=24, test_size=40, seed=3)
    return X, y, X_test, y_test


def network(widths=(30,), activation="erf", **kw):
    kw.setdefault("weight_precisions", (0.8, *(1.4,) * len(widths)))
    return ww.FullyConnected(widths, activation, **kw)


def infer(net, data, **kw):
    return ww.infer(net, data[0], data[1], temperature=T, **kw)


def test_nothing_is_open_where_the_theory_is_exact(data):
    posterior = infer(network(activation="identity"), data)
    assert posterior.exact
    assert posterior.score(*data[2:]).theory_error == 0.0
    assert posterior.training_error.theory_error == 0.0
    assert posterior.certificate.error_bar == ErrorBar(posterior.training_error.total, {})


@pytest.mark.parametrize("approximation", ["saddle", "infinite"])
def test_for_the_identity_the_bar_is_the_distance_to_what_is_exact(data, approximation):
    net = network((12,), "identity")
    known = infer(net, data, approximation="integrated")
    other = infer(net, data, approximation=approximation)
    bar = other.score(*data[2:]).error_bar
    gap = abs(other.score(*data[2:]).total - known.score(*data[2:]).total)
    assert set(bar.parts) == {"approximation"}
    assert bar.half_width == pytest.approx(gap, rel=1e-6)
    gap = abs(other.training_error.total - known.training_error.total)
    assert other.training_error.theory_error == pytest.approx(gap, rel=1e-6)


def test_draws_of_an_exact_integral_are_its_bar(data):
    y = np.stack([data[1], -0.5 * data[1] + data[0][:, 20]], axis=1)
    posterior = ww.infer(network(activation="identity"), data[0], y, temperature=T)
    error = posterior.training_error
    assert set(error.error_bar.parts) == {"draws"}
    assert error.theory_error == pytest.approx(1.959964 * error.monte_carlo_error)


def test_at_infinite_width_the_distance_to_the_saddle_is_a_part(data):
    net = network((12,))
    wide, finite = (infer(net, data, approximation=name).score(*data[2:]) for name in ("infinite", "saddle"))
    assert wide.error_bar.parts["approximation"] == pytest.approx(abs(wide.total - finite.total), rel=1e-9)
    others = {name: part for name, part in wide.error_bar.parts.items() if name != "approximation"}
    scale = wide.total / wide.error_bar.error
    for name, part in finite.error_bar.parts.items():
        assert others[name] == pytest.approx(part, rel=1e-6)
    assert scale == 1.0
    assert wide.theory_error > finite.theory_error


def test_the_parts_add_up_and_say_what_they_are_made_of(data):
    posterior = infer(network(), data)
    score = posterior.score(*data[2:])
    bar = score.error_bar
    assert bar.half_width == pytest.approx(sum(bar.parts.values())) == score.theory_error
    assert bar.relative == pytest.approx(score.theory_error / score.total)
    found = evidence(posterior, Points(*data[2:]))
    weights, neurons = WEIGHTS[False, True], found.neurons
    x = (abs(neurons.bias) + abs(neurons.variance)) / score.total
    assert bar.parts["neurons"] == pytest.approx(weights.neurons * score.total * x / (1 + 2 * x))
    assert bar.parts.get("beyond", 0.0) == pytest.approx(
        weights.beyond * score.total * max(0.0, posterior.validity.product - 0.5)
    )
    if weights.width:
        assert bar.parts["width"] == pytest.approx(weights.width * score.total / 30)


@pytest.mark.parametrize("closure", ["global", "nested"])
def test_the_neurons_are_those_of_the_network_at_its_saddle(data, closure):
    """Dressed: Q in the precisions, all of it in the readout's or each in its own layer's."""
    from dataclasses import replace

    from widthwise.posterior.edgeworth import edgeworth

    X, y, X_test, y_test = data
    net = network((8, 12), closure=closure)
    posterior = infer(net, data)
    Q, lam = posterior.order_parameters["Q"], np.array(net.precisions)
    assert np.all(np.abs(np.log(Q)) > 0.01)
    if closure == "global":
        lam[-1] /= np.prod(Q)
    else:
        lam[1:] /= Q
    dressed = replace(net, weight_precisions=tuple(map(float, lam)))
    for score, at in ((posterior.score(X_test, y_test), (X_test, y_test)), (posterior.training_error, (None, None))):
        expected = edgeworth(dressed, X, y, *at, T, product=closure == "global")
        assert score.error_bar.departure == pytest.approx(expected.total, rel=1e-6)


def test_the_bar_vanishes_with_the_width(data):
    one, hundred = (infer(network((N,)), data).score(*data[2:]).error_bar.relative for N in (100, 10_000))
    assert 50 < one / hundred < 200


@pytest.mark.parametrize(("activation", "widths"), [("erf", (20,)), ("relu", (20,)), ("tanh", (20, 30))])
def test_units_do_not_matter(data, activation, widths):
    X, y, X_test, y_test = data
    lam = (0.8, *(1.4,) * len(widths))
    one = ww.infer(ww.FullyConnected(widths, activation, weight_precisions=lam), X, y, temperature=T)
    lam = (*lam[:-1], lam[-1] / 25.0)
    other = ww.infer(ww.FullyConnected(widths, activation, weight_precisions=lam), X, 5 * y, temperature=25 * T)
    one, other = one.score(X_test, y_test), other.score(X_test, 5 * y_test)
    assert other.theory_error == pytest.approx(25 * one.theory_error, rel=1e-6)


@pytest.mark.parametrize("closure", ["global", "nested"])
def test_deep_networks_have_one_under_every_closure(data, closure):
    posterior = infer(network((20, 30), closure=closure), data)
    bar = posterior.score(*data[2:]).error_bar
    assert "neurons" in bar.parts
    assert 0.0 < bar.relative < 1.0


def test_what_has_no_neurons_to_look_at_has_a_bar(data):
    X, y, X_test, y_test = data
    prepared = ww.prepare(network(), X)
    plain = ww.infer(prepared, y, temperature=T).score(prepared.at(X_test), y_test)
    kernel = infer(network(), data, approximation="infinite").renormalised_kernel
    own = np.diag(kernel(X_test))
    matrix = ww.infer(ww.PrecomputedKernel((30,)), kernel(X), y, temperature=T)
    bare = matrix.score(kernel(X_test, X), y_test, own)
    assert bare.total == pytest.approx(plain.total, rel=1e-8)
    assert "neurons" in plain.error_bar.parts
    assert "neurons" not in bare.error_bar.parts
    assert bare.theory_error > 0.0
    once = ww.prepare(ww.PrecomputedKernel((30,)), kernel(X))
    for points, diagonal in ((once.at(kernel(X_test, X), own), None), (kernel(X_test, X), kernel(X_test))):
        again = ww.infer(once, y, temperature=T).score(points, y_test, diagonal)
        assert again.theory_error == pytest.approx(bare.theory_error, rel=1e-8)


def test_several_outputs_and_patches_have_one(data):
    X, y, X_test, y_test = data
    two, two_test = np.stack([y, -y], axis=1), np.stack([y_test, -y_test], axis=1)
    assert ww.infer(network(), X, two, temperature=T).score(X_test, two_test).theory_error > 0.0
    images, images_test = X.reshape(-1, 8, 8), X_test.reshape(-1, 8, 8)
    patches = ww.Convolutional(16, (4, 4), activation="erf")
    how = ww.MonteCarlo(chains=4, draws=100, warmup=50, nodes=32)
    posterior = ww.infer(patches, images, y, temperature=T, monte_carlo=how, throw=False)
    bar = posterior.score(images_test, y_test).error_bar
    assert bar.parts["draws"] > 0.0
    assert bar.half_width > bar.parts["draws"]


def test_where_no_theory_is_known_there_is_none(data):
    X, y, X_test, y_test = data
    stack = ww.Convolutional((8, 8), ((2, 2), (2, 2)), activation="erf")
    wide = ww.infer(stack, X.reshape(-1, 8, 8), y, temperature=T, approximation="infinite")
    assert wide.score(X_test.reshape(-1, 8, 8), y_test).theory_error is None
    assert wide.training_error.theory_error is None


def test_linear_networks_that_no_theory_covers_have_none(data):
    X, y, X_test, y_test = data
    net = network((6, 5), "identity", bias_variance=0.3)
    wide = ww.infer(net, X, np.stack([y, -y], axis=1), temperature=T, approximation="infinite")
    assert wide.score(X_test, np.stack([y_test, -y_test], axis=1)).theory_error is None


def test_a_better_theory_that_has_not_converged_judges_nothing(data, monkeypatch):
    from dataclasses import replace

    wide = infer(network((12,)), data, approximation="infinite")
    found = room.companion(wide, None)
    assert wide.training_error.theory_error > 0.0
    lost = replace(found, certificate=replace(found.certificate, status="not converged"))
    monkeypatch.setattr(room, "companion", lambda posterior, approximation: lost)
    assert infer(network((12,)), data, approximation="infinite").training_error.theory_error is None


def test_it_is_not_computed_before_it_is_asked_for(data, monkeypatch):
    calls = []
    monkeypatch.setattr(room, "edgeworth", lambda *a, **kw: calls.append(a) or pytest.fail("too early"))
    posterior = infer(network(), data)
    posterior.score(*data[2:])
    assert posterior.training_error.total > 0
    assert posterior.certificate.converged
    assert not calls


def test_many_test_points_are_looked_at_in_part():
    X, y, X_test, y_test = ww.load_data("digits", classes="parity", train_size=24, test_size=4 * POINTS, seed=3)
    posterior = ww.infer(network(), X, y, temperature=T)
    whole = posterior.score(X_test, y_test)
    chosen = np.linspace(0, 4 * POINTS - 1, POINTS).round().astype(int)
    part = posterior.score(X_test[chosen], y_test[chosen])
    assert whole.error_bar.relative == pytest.approx(part.error_bar.relative, rel=1e-9)
    assert whole.error_bar.error == whole.total


def test_test_sets_of_every_shape_are_one(data):
    X, y, X_test, y_test = data
    posterior = infer(network(), data)
    expected = posterior.score(X_test, y_test).theory_error
    for points, targets in (
        (X_test.tolist(), y_test.tolist()),
        (X_test, y_test[:, None]),
        (X_test, y_test.astype(int)),
        (np.asfortranarray(X_test), y_test),
    ):
        assert posterior.score(points, targets).theory_error == pytest.approx(expected, rel=1e-9)
    column = ww.infer(network(), X, y[:, None], temperature=T)
    assert column.score(X_test, y_test[:, None]).theory_error > 0.0


def test_beside_a_sampled_network_it_is_in_the_table(data):
    sampler = ww.CollapsedHMC(chains=2, draws=24, warmup=20)
    posterior = infer(network((8,)), data)
    samples = ww.sample(network((8,)), *data, temperature=T, sampler=sampler, throw=False)
    table = ww.compare(posterior, samples)
    assert table["test error"].theory_error == pytest.approx(posterior.score(*data[2:]).theory_error)
    assert table["training error"].theory_error == pytest.approx(posterior.training_error.theory_error)


def test_copies_keep_the_bar_and_not_what_made_it(data):
    import copy
    import pickle

    posterior = infer(network(), data)
    for result in (posterior.score(*data[2:]), posterior.training_error, posterior.certificate):
        for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
            assert again == result
            assert again.theory_error == result.theory_error > 0.0


def test_copying_a_posterior_asks_for_no_bar(data, monkeypatch):
    import copy
    import dataclasses

    monkeypatch.setattr(room, "edgeworth", lambda *a, **kw: pytest.fail("too early"))
    posterior = infer(network(), data)
    score = posterior.score(*data[2:])
    again = copy.deepcopy(posterior)
    assert again.certificate == posterior.certificate
    assert copy.copy(score) == score
    assert dataclasses.asdict(score)["total"] == score.total
    assert set(dataclasses.asdict(posterior.certificate)) == {f.name for f in dataclasses.fields(posterior.certificate)}


def test_the_bar_is_that_of_the_test_set_as_it_was(data):
    X_test, y_test = data[2].copy(), data[3].copy()
    posterior = infer(network(), data)
    expected = posterior.score(X_test, y_test).theory_error
    score = posterior.score(X_test, y_test)
    X_test[:], y_test[:] = 0.0, 5.0
    assert score.theory_error == expected


@pytest.mark.filterwarnings("ignore::widthwise.DataWarning")
@pytest.mark.parametrize("widths", [(20,), (20, 30)])
def test_inputs_that_are_all_zero_have_a_bar(widths):
    X, y = np.zeros((4, 12)), np.arange(4.0)
    posterior = ww.infer(network(widths), X, y, temperature=T)
    assert np.isfinite(posterior.score(X, y).theory_error)
    assert np.isfinite(posterior.training_error.theory_error)


def test_it_survives_a_file(data, tmp_path):
    posterior = infer(network(), data)
    posterior.save(tmp_path / "p.npz")
    back = ww.load(tmp_path / "p.npz")
    assert back.score(*data[2:]).theory_error == pytest.approx(posterior.score(*data[2:]).theory_error, rel=1e-6)
    assert back.certificate == posterior.certificate
    assert back.certificate.error_bar.relative == pytest.approx(posterior.certificate.error_bar.relative, rel=1e-6)


# --- docs/truth.csv: the sampled networks that the weights come from -----------------------------------------------


def bench():
    path = ROOT / "bench" / "error_bars.py"
    spec = importlib.util.spec_from_file_location("error_bars", path)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["error_bars"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("which", ["test", "training"])
@pytest.mark.parametrize("seen", [True, False])
def test_the_weights_are_those_of_the_sampled_truth(which, seen):
    bars = bench()
    names = bars.SEEN if seen else bars.UNSEEN
    rows = [row for row in bars.read(ROOT / "docs" / "truth.csv", which) if not seen or "neurons" in row.terms]
    found = bars.fit(rows, names)
    ours = WEIGHTS[which == "training", seen]
    for name, value in found.items():
        assert getattr(ours, name) == pytest.approx(value, rel=0.02, abs=2e-3), name


@pytest.mark.parametrize("which", ["test", "training"])
def test_the_bar_is_worth_something_on_data_left_out(which):
    """Coverage near 95 %, far sharper than a constant bar, and in the order of the true deviations."""
    bars = bench()
    rows = [row for row in bars.read(ROOT / "docs" / "truth.csv", which) if "neurons" in row.terms]
    ours = bars.worth(rows, bars.left_out(rows, bars.SEEN))
    constant = bars.worth(rows, bars.left_out(rows, ("constant",)))
    assert ours.coverage > 0.88
    assert ours.rank > 0.6
    assert ours.sharpness < 0.5 * constant.sharpness
    assert math.isnan(constant.rank) or abs(constant.rank) < ours.rank
