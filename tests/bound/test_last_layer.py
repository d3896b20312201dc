import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor

import widthwise.bound
from widthwise.bound import Status, last_layer, readout, refit
from widthwise.errors import DataWarning, InputError

N = 20
THETA = np.random.default_rng(7).normal(size=N) / np.sqrt(N)


def draw(rng, P, noise=0.5):
    X = rng.normal(size=(P, N)) * np.logspace(-1, 1, N)
    return X, X / np.logspace(-1, 1, N) @ THETA + noise * rng.normal(size=P)


def quenched(rng, P, n=400, noise=0.5, ridge=0.0, **options):
    """A readout of fixed features as the network, with fresh examples."""
    X, y = draw(rng, P, noise)
    fresh = draw(rng, n, noise)
    predictions = readout(X, y, ridge=ridge).predict(X)
    return last_layer(X, y, predictions, fresh=fresh, trunk_trained=False, **options)


def memorising(rng, P=60, units=12):
    """A network of two hidden layers fitted to shuffled labels: features, targets, predictions, and fresh ones."""
    X, X_new = rng.normal(size=(P, 40)), rng.normal(size=(400, 40))
    y, y_new = rng.choice([-1.0, 1.0], P), rng.choice([-1.0, 1.0], 400)
    network = MLPRegressor(
        hidden_layer_sizes=(100, units), activation="tanh", solver="lbfgs", alpha=1e-6, max_iter=3000, random_state=0
    )
    network.fit(X, y)

    def features(Z):
        for W, b in list(zip(network.coefs_, network.intercepts_))[:-1]:
            Z = np.tanh(Z @ W + b)
        return Z

    return (features(X), y, network.predict(X)), (features(X_new), y_new, network.predict(X_new))


# statuses


def test_informative_the_network_is_inside_the_bound(rng):
    report = quenched(rng, 600, n=3000)
    assert report.status == "informative"
    assert report.holds is True
    assert report.effective_size == N + 1
    assert report.asymptotic_bound == pytest.approx(2 * 21 / 600)
    assert report.press.value == report.in_sample.press.value
    assert report.gap.value == pytest.approx(report.generalisation_error.value - report.training_error.value)
    assert "quenched" in report.reason
    assert "below it" in report.reason


def test_vacuous_up_to_twice_the_effective_size(rng):
    for P, status in ((42, "vacuous"), (43, "informative")):
        X, y = draw(rng, P)
        report = last_layer(X, y, y, trunk_trained=False)
        assert report.status == status, P
        assert report.gap is None
        assert report.holds is None
        assert "not measured: no fresh examples" in report.reason
    assert "P > 42" in last_layer(X[:42], y[:42], y[:42]).reason


def test_outside_its_assumption_whatever_the_gap_when_the_trunk_was_trained(rng):
    X, y = draw(rng, 600)
    report = last_layer(X, y, readout(X, y).predict(X), fresh=draw(rng, 3000))
    assert report.status is Status.OUTSIDE_ASSUMPTION
    assert report.holds is True
    assert report.in_sample is None
    assert "not quenched" in report.reason


def test_inconclusive_where_the_error_bar_contains_the_bound(rng):
    report = quenched(rng, 600, n=30, noise=2.0)
    assert report.status == "inconclusive"
    assert report.holds is None
    assert abs(report.relative_gap.value - report.asymptotic_bound) < 2.0 * report.relative_gap.standard_error


def test_the_negative_control_a_network_that_memorised(rng):
    training, fresh = memorising(rng)
    report = last_layer(*training, fresh=fresh)
    assert report.status == "outside_assumption"
    assert report.training_error.value < 1e-3
    assert report.holds is False
    assert report.relative_gap.value > 2.0 * report.asymptotic_bound
    again = report.readout_bound
    assert again.relative_gap.value < report.relative_gap.value / 4.0
    assert again.within_twice_m is not False
    fooled = readout(training[0], training[1])
    assert fooled.press.value < 0.1 * report.generalisation_error.value  # why leaving one out is refused here
    with pytest.raises(InputError, match=r"press: .*trunk trained on these examples.*fresh="):
        _ = report.press


# the gap


def test_the_gap_of_known_linear_data_is_within_its_error_bar():
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        report = quenched(rng, 200, n=150)
        truth = 0.25 * ((1.0 + 1.0 / 200) * 198.0 / (200 - N - 2.0) - (1.0 - 21 / 200))
        inside.append(abs(report.gap.value - truth) <= 2.0 * report.gap.standard_error)
    assert 0.85 < np.mean(inside) <= 1.0


def test_the_networks_own_readout_is_recovered_from_its_predictions(rng):
    X, y = draw(rng, 200)
    X_new, y_new = draw(rng, 100)
    W, b = rng.normal(size=(N, 3)), rng.normal(size=3)
    Y, Y_new = np.column_stack([y, -y, y**2]), np.column_stack([y_new, -y_new, y_new**2])
    told = last_layer(X, Y, X @ W + b, fresh=(X_new, Y_new, X_new @ W + b))
    found = last_layer(X, Y, X @ W + b, fresh=(X_new, Y_new))
    assert found.gap.value == pytest.approx(told.gap.value, rel=1e-9)
    error = ((Y_new - X_new @ W - b) ** 2).sum(axis=1)
    assert told.generalisation_error.value == pytest.approx(error.mean())
    assert told.target_power == pytest.approx(Y.var(axis=0).sum())
    single = [a.astype(np.float32) for a in (X, X @ W + b, X_new)]
    rough = last_layer(single[0], Y, single[1], fresh=(single[2], Y_new))
    assert rough.gap.value == pytest.approx(told.gap.value, rel=1e-4)


def test_where_the_targets_zero_lies_changes_nothing(rng):
    """A gap in units of ⟨y²⟩ could be made as small as one likes by adding a constant."""
    (X, y), (X_new, y_new) = draw(rng, 200), draw(rng, 150)
    f, f_new = X @ THETA, X_new @ THETA
    here, there = (
        last_layer(X, y + shift, f + shift, fresh=(X_new, y_new + shift, f_new + shift), trunk_trained=False)
        for shift in (0.0, 300.0)
    )
    assert there.relative_gap.value == pytest.approx(here.relative_gap.value, rel=1e-9)
    assert there.readout_bound.relative_gap.value == pytest.approx(here.readout_bound.relative_gap.value, rel=1e-9)
    assert there.target_power == pytest.approx(np.var(y))
    assert (there.status, there.holds) == (here.status, here.holds)
    with pytest.raises(InputError, match="some that vary"):
        last_layer(X, np.full(200, 3.0), f)


@pytest.mark.parametrize(
    ("P", "spoil", "why"),
    [
        (200, lambda X, f, new: (X, np.tanh(f), new), "not linear in these features"),
        (20, lambda X, f, new: (X, f, new), "do not determine the network's own readout"),
        (200, lambda X, f, new: (X * (np.arange(N) < 5), f * 0.0 + X[:, 0], new), "leave the span"),
    ],
)
def test_where_it_cannot_be_recovered_the_gap_stays_unmeasured_and_says_why(rng, P, spoil, why):
    X, y = draw(rng, P)
    fresh = draw(rng, 100)
    X, f, X_new = spoil(X, X @ THETA, fresh[0])
    report = last_layer(X, y, f, fresh=(X_new, fresh[1]))
    assert report.gap is None
    assert report.relative_gap is None
    assert report.generalisation_error is None
    assert why in report.reason
    assert report.readout_bound is not None


def test_few_fresh_examples_decide_nothing():
    """A trained network's gap above the bound, measured on so few that they may happen to agree."""
    for n in (2, 5, 10):
        said = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            X, y = draw(rng, 150, noise=2.0)
            X_new, y_new = draw(rng, n, noise=4.0)  # gap/T_y is about 2, the bound 0.28
            report = last_layer(X, y, readout(X, y).predict(X), fresh=(X_new, y_new))
            said.append(report.holds)
        assert said.count(True) <= 2, n


# the refit


def test_the_refit_is_the_readout_of_the_fresh_examples(rng):
    X, y = draw(rng, 500)
    bound, fit = refit(X, y, ridge=2.0), readout(X, y, ridge=2.0)
    assert bound.press == fit.press
    assert bound.gap == fit.gap
    assert bound.tau == fit.tau
    assert bound.memorisation == fit.memorisation
    assert bound.predicted_ratio == fit.predicted_ratio
    assert bound.relative_gap.value == pytest.approx(fit.gap.value / np.var(y))
    assert bound.status == "informative"
    assert bound.holds is True
    assert abs(bound.ratio.value - bound.predicted_ratio) < 4.0 * bound.ratio.standard_error


def test_of_pure_noise_the_asymptotic_form_is_exceeded_at_any_finite_size():
    """ρ = 1: gap/T_y = a(2 − a)/(1 − a) > 2a, while gap/ε_g ≤ 2m holds."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(1000, 250)), rng.normal(size=1000)
    bound = refit(X, y)
    assert bound.relative_gap.value > bound.asymptotic_bound
    assert bound.within_twice_m is True
    assert "asymptotic form" in bound.reason
    assert "asymptotic form" not in refit(*draw(rng, 500)).reason


def test_heavy_tails_are_outside_the_assumption(rng):
    x = rng.normal(size=(4000, 1))
    bound = refit(x, x[:, 0] ** 3 - 3.0 * x[:, 0])  # ρ = 1, and τ = (1 + 7)/2 with the constant
    assert bound.status == "outside_assumption"
    assert "τ" in bound.reason
    y = x[:, 0] ** 3 - 3.0 * x[:, 0]
    network = last_layer(x, y, readout(x, y).predict(x), trunk_trained=False)  # nor is a fixed trunk's network
    assert network.status == "outside_assumption"
    assert "τ" in network.reason


def test_a_ridge_may_hold_heavy_tails_below_the_bound(rng):
    """Of a ridge that learns little, ρτ > 1 though the gap is a third of the bound."""
    X = rng.normal(size=(4000, N)) / np.sqrt(rng.chisquare(5, size=(4000, 1)) / 5)
    bound = refit(X, X @ THETA + 0.3 * rng.normal(size=4000), ridge=3e4)
    assert bound.tau.below(1.5) is False
    assert bound.readout.predicted_ratio < 0.5 * bound.asymptotic_bound
    assert bound.holds is True
    assert bound.status == "informative"


def test_twice_m_can_fail(rng):
    x = rng.normal(size=(20000, 1))
    assert refit(x, x[:, 0] ** 3).within_twice_m is False


@pytest.mark.parametrize("P", [2, 3, 5, 19, 20, 21, 22, 25, 26, 42])
def test_around_interpolation_there_is_a_status_and_no_exception(rng, P):
    X, y = draw(rng, P)
    report = last_layer(X, y, y, fresh=draw(rng, P), trunk_trained=False)
    assert report.status == "vacuous"
    again = report.readout_bound
    assert again.status == "vacuous"
    numbers = (again.gap.value, again.relative_gap.value, again.press.value, again.gcv, again.ratio.value)
    assert np.isfinite(numbers).all()
    assert np.isfinite(again.gap.standard_error)
    json.dumps(report.records(), allow_nan=False)


@pytest.mark.parametrize("P", [15, 21, 25, 26])
def test_near_interpolation_the_gap_is_the_median_over_splits(P):
    """Fitted on nine tenths by scikit-learn; from P = N_eff + 5 on the gap is PRESS's again."""
    X, y = draw(np.random.default_rng(0), P)
    bound, rng, gaps = refit(X, y, key=3), np.random.default_rng(3), []
    for _ in range(20):
        tested, kept = np.split(rng.permutation(P), [P // 10])
        model = LinearRegression().fit(X[kept], y[kept])
        errors = [np.mean((y[part] - model.predict(X[part])) ** 2) for part in (tested, kept)]
        gaps.append(errors[0] - errors[1])
    if P == 26:
        assert bound.gap == bound.readout.gap
    else:
        assert bound.gap.value == pytest.approx(np.median(gaps), rel=1e-6)
        deviation = np.median(np.abs(np.array(gaps) - np.median(gaps)))
        assert bound.gap.standard_error == pytest.approx(1.482602218505602 * deviation, rel=1e-6)


def test_dead_duplicated_and_constant_features(rng):
    X, y = draw(rng, 300)
    fresh = draw(rng, 200)
    f = readout(X, y).predict(X)
    more = [np.column_stack([Z, np.zeros(len(Z)), Z[:, 3], np.ones(len(Z))]).astype(np.float32) for Z in (X, fresh[0])]
    a = last_layer(X, y, f, fresh=fresh, trunk_trained=False)
    b = last_layer(more[0], y, f, fresh=(more[1], fresh[1]), trunk_trained=False)
    assert (a.features, b.features) == (20, 23)
    assert a.effective_size == b.effective_size == b.readout_bound.effective_size == 21
    assert b.gap.value == pytest.approx(a.gap.value, rel=1e-3)
    dead = last_layer(np.zeros((50, 4)), y[:50], np.zeros(50), fresh=(np.zeros((30, 4)), y[50:80]))
    assert dead.effective_size == 1
    assert dead.status == "outside_assumption"


# input


def test_columns_of_one_output_are_taken_for_a_vector(rng):
    X, y = draw(rng, 100)
    X_new, y_new = draw(rng, 50)
    a = last_layer(X, y, y * 0.9, fresh=(X_new, y_new, y_new * 0.8), trunk_trained=False)
    b = last_layer(X, y[:, None], y * 0.9, fresh=(X_new, y_new[:, None], y_new[:, None] * 0.8), trunk_trained=False)
    assert a.records() == b.records()


def test_fresh_must_be_fresh(rng):
    X, y = draw(rng, 100)
    X_new, y_new = draw(rng, 50)
    for same in ((X, y), (X[::-1], y[::-1]), (X[10:40], y[10:40], y[10:40])):
        with pytest.raises(InputError, match="fresh: expected examples that the network was not trained on"):
            last_layer(X, y, y, fresh=same)
    mixed = np.vstack([X_new, X[:7]]), np.append(y_new, y[:7])
    with pytest.warns(DataWarning, match="7 of 57 examples are training examples too"):
        last_layer(X, y, y, fresh=mixed)
    few = (rng.integers(0, 2, (200, 3)), rng.choice([-1.0, 1.0], 200))
    last_layer(*few, few[1], fresh=(few[0][:50].copy(), few[1][:50].copy()))  # of few values, repeated within training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.ones(9)}, "features: expected shape"),
        ({"targets": np.ones(9)}, r"targets: expected one row per example \(30\), got 9"),
        ({"targets": np.zeros(30)}, "targets: expected some that vary, got a constant"),
        ({"predictions": np.ones((30, 2))}, "predictions: expected 1 outputs as the targets have, got 2"),
        ({"predictions": None}, "predictions: expected real numbers"),
        ({"predictions": np.full(30, np.nan)}, "predictions: expected finite numbers"),
        ({"fresh": np.ones((5, N))}, r"fresh: expected \(features, targets\)"),
        ({"fresh": (np.ones((5, N)),)}, "got tuple of 1"),
        ({"fresh": (np.ones((5, 3)), np.ones(5))}, "fresh features: expected 20 features as in training, got 3"),
        ({"fresh": (np.ones((5, N)), np.ones((5, 2)))}, "fresh targets: expected 1 outputs"),
        ({"fresh": (np.ones((1, N)), np.ones(1))}, "fresh features: expected at least 2 examples"),
        ({"ridge": -1.0}, "ridge"),
        ({"targets": np.ma.masked_array(np.ones(30), np.arange(30) > 20)}, "masked"),
    ],
)
def test_bad_input_is_refused_in_words(rng, change, message):
    X, y = draw(rng, 30)
    with pytest.raises(InputError, match=message):
        last_layer(**({"features": X, "targets": y, "predictions": y} | change))


@pytest.mark.parametrize("unknown", [None, "no", 0])
def test_a_trunk_not_known_to_be_fixed_is_never_taken_for_fixed(rng, unknown):
    X, y = draw(rng, 100)
    unchecked = inspect.unwrap(last_layer)  # as users call it, without the tests' type checker
    with pytest.raises(InputError, match="trunk_trained: expected True or False, got"):
        unchecked(X, y, y, trunk_trained=unknown)


@pytest.mark.parametrize("key", [-1, 1.5, None])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_key_is_checked_whether_it_is_used_or_not(rng, key, fresh):
    X, y = draw(rng, 100)
    with pytest.raises(InputError, match="key: expected a whole number of at least 0"):
        inspect.unwrap(last_layer)(X, y, y, fresh=draw(rng, 90) if fresh else None, key=key)
    with pytest.raises(InputError, match="key: expected a whole number"):
        inspect.unwrap(refit)(X, y, key=key)


def test_fresh_is_told_up_to_rounding_and_dead_units_are_not_taken_for_it(rng):
    X, y = draw(rng, 200)
    jittered = X[:80] * (1.0 + 1e-9 * rng.normal(size=(80, N)))
    for again in (X[:80].astype(np.float32), jittered, X[:80] * (1.0 + 1e-7)):
        with pytest.raises(InputError, match="training examples only"):
            last_layer(X, y, y, fresh=(again.astype(np.float32), y[:80]))
    alive = rng.random((400, 1)) < 0.05
    Phi, labels = np.abs(rng.normal(size=(400, 6))) * alive, rng.choice([-1.0, 1.0], 400)
    for Z in (Phi, 0.0 * Phi):
        report = last_layer(Z[:200], labels[:200], labels[:200] * 0.5, fresh=(Z[200:], labels[200:], labels[200:]))
        assert report.gap is not None


def test_a_warning_comes_once_and_points_at_the_caller(rng):
    X, _ = draw(rng, 120)
    classes = np.arange(120) % 3
    with pytest.warns(DataWarning, match="numbers of 3 classes") as caught:
        last_layer(X[:60], classes[:60], classes[:60], trunk_trained=False)
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]


def test_of_an_exact_teacher_and_of_tiny_targets(rng):
    X, y = draw(rng, 200)
    exact = refit(X, X @ np.ones(N))
    assert (exact.holds, exact.within_twice_m) == (True, True)
    tiny, plain = refit(X, 1e-160 * y), refit(X, y)
    assert tiny.relative_gap.standard_error == pytest.approx(plain.relative_gap.standard_error, rel=0.05)


# words


def test_it_is_never_worded_as_a_guarantee(rng):
    room = Path(widthwise.bound.__file__).parent
    for path in room.rglob("*.py"):
        assert not re.search("certif|guarantee", path.read_text(encoding="utf-8"), re.IGNORECASE), path
    training, fresh = memorising(rng, P=30)
    for report in (quenched(rng, 600), quenched(rng, 30), last_layer(*training, fresh=fresh)):
        assert not re.search("certif|guarantee", str(report), re.IGNORECASE)


def test_the_table_says_everything(rng):
    report = quenched(rng, 600, n=3000)
    for part in ("informative", "2 N_eff/P", "0.07", "refitted on fresh", "PRESS", "τ", "1 − (1 − m)²"):
        assert part in str(report)
    record = report.records()
    assert record["status"] == "informative"
    assert record["gap"].keys() == {"value", "standard_error"}
    assert record["readout_bound"]["readout"]["P"] == 3000
    json.dumps(record, allow_nan=False)
