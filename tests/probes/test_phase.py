"""The phase diagram: few examples are memorised, many make the student its teacher; runs are kept and resumed."""

from itertools import pairwise

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import DataWarning, InputError
from widthwise.probes import Teacher, experiment, phase, train
from widthwise.probes.experiment import Recipe, Run, own_key
from widthwise.probes.phase import phase_diagram
from widthwise.probes.trajectory import trajectory
from widthwise.probes.verdict import verdict

QUICK = {"repeats": 1, "fresh": 500, "nulls": 30}
N0, M = 10, 2
P_FEW, P_MANY = 10, 100  # of p = 22 parameters


@pytest.fixture(scope="module")
def teacher():
    return Teacher.one_hidden_layer(inputs=N0, units=M, activation="erf", gain=2.0, key=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("phase") / "runs.db"


@pytest.fixture(scope="module")
def diagram(teacher, store):
    return phase_diagram(teacher, sizes=(0.5, 5.0), widths=(1.0,), seeds=5, store=store, **QUICK)


def test_few_examples_are_memorised_and_many_make_the_student_its_teacher(diagram):
    """The transition, at N0 = 10, M = N1 = 2; the full one is `test_the_transition_of_the_theory`."""
    assert diagram.examples.tolist() == [[P_FEW, P_MANY]]
    assert [said.word for said in diagram.verdicts[0]] == ["memorised", "collapsed"]
    assert np.max(diagram.values("training_error")[0, 0]) < 1e-15  # numerically zero
    q, error, m = (diagram.median(name)[0] for name in ("overlap", "test_error", "memorisation"))
    assert q[0] < 0.9 < 1 - 1e-6 < q[1]
    assert error[1] < 1e-15 < 0.1 < error[0]
    assert m[0] == pytest.approx(1.0, abs=1e-6)
    assert m[1] == pytest.approx(22 / P_MANY, abs=0.08)  # p/P, where each unit has one to copy


def test_a_run_is_what_its_parts_are_by_hand(teacher, diagram):
    key = own_key(diagram.recipe, 2)
    X, y = teacher.sample(P_MANY, key=key)
    network = ww.FullyConnected(widths=[M], activation="erf")
    student = train(network, X, y, restarts=5, key=key)
    m = ww.memorisation(train.fit(network, restarts=5, key=key), X, y, repeats=1, key=key)
    found = ww.probes.report(student, teacher, X=X, y=y, memorisation=m, fresh=500, nulls=30)
    kept = diagram.cells[0][1][2]
    assert kept.report == found
    assert (kept.status, kept.restart, kept.steps) == (student.status, student.restart, student.steps)


def test_medians_shares_and_rows_agree_with_the_runs(diagram):
    rows = diagram.records()
    assert len(rows) == 10 == len(diagram.runs)
    for j in range(2):
        own = [row for row in rows if row["P"] == diagram.examples[0, j]]
        assert len({row["test_error"] for row in own}) == 5  # each seed has its own data
        assert diagram.median("overlap")[0, j] == np.median([row["overlap"] for row in own])
        assert diagram.fraction("memorised")[0, j] == np.mean([row["word"] == "memorised" for row in own])
        said = verdict([run.report for run in diagram.cells[0][j]])
        assert said.fractions["collapsed"] == diagram.fraction("collapsed")[0, j]
        assert diagram.verdicts[0][j] == said
    assert {(row["N0"], row["M"], row["N1"], row["p"]) for row in rows} == {(N0, M, M, 22)}
    assert [row["seed"] for row in rows] == [*range(5)] * 2
    assert "memorised" in str(diagram)
    assert "collapsed" in str(diagram)


def test_what_is_stored_is_not_trained_again_and_a_longer_grid_adds_to_it(teacher, store, diagram, monkeypatch):
    trained = []
    whole = experiment._run

    def counted(*arguments):
        trained.append(arguments[1:4])
        return whole(*arguments)

    monkeypatch.setattr(experiment, "_run", counted)
    again = phase_diagram(teacher, sizes=(0.5, 5.0), widths=(1.0,), seeds=5, store=store, **QUICK)
    assert not trained
    assert again.records() == diagram.records()
    assert [run.report for run in again.runs] == [run.report for run in diagram.runs]
    seen = []
    longer = phase_diagram(
        teacher, sizes=(5.0, 0.5), widths=(1.0,), seeds=6, store=store, progress=seen.append, **QUICK
    )
    assert trained == [(P_MANY, M, 5), (P_FEW, M, 5)]
    assert len(seen) == 12
    assert longer.values("overlap")[0, 1, :5].tolist() == diagram.values("overlap")[0, 0].tolist()
    for other in ({"noise": 0.1}, {"key": 1}, {"restarts": 4}, {"steps": 7}):  # another recipe is another run
        trained.clear()
        phase_diagram(teacher, sizes=(0.5,), widths=(1.0,), seeds=1, store=store, **QUICK | other)
        assert len(trained) == 1


def test_a_run_survives_being_plain_values(diagram):
    for run in diagram.runs:
        assert Run.of_records(run.records()) == run


def test_labels_that_are_shuffled_are_memorised(teacher):
    found = phase_diagram(teacher, sizes=(0.5,), widths=(1.0,), seeds=5, shuffled=1.0, permutations=1, **QUICK)
    assert found.verdicts[0][0].word == "memorised"
    assert found.median("shuffled_r2")[0, 0] == pytest.approx(1.0, abs=1e-9)


def test_sizes_are_in_units_of_the_first_layers_weights(teacher):
    how = {"sizes": 0.45, "widths": (0.5, 1.5), "seeds": 1, "restarts": 1, "steps": 1, "repeats": 0}
    with pytest.warns(DataWarning, match="expected 5 seeds"):
        found = str(grid := phase_diagram(teacher, **how, fresh=100, nulls=20))
    assert grid.units == (1, 3)
    assert grid.examples.tolist() == [[4], [14]]  # of 10 N1, rounded to the even
    assert [[cell[0].report.examples for cell in row] for row in grid.cells] == [[4], [14]]
    assert {cell[0].report.width for cell in grid.cells[1]} == {3}
    assert "partial" in found or "memorised" in found


def test_the_recipe_reaches_the_labels(teacher):
    recipe = Recipe(noise=0.2, shuffled=0.5, key=7)
    X, y, *rest = experiment.data_of(teacher, P_FEW, 3, recipe)
    expected = teacher.sample(P_FEW, noise=0.2, shuffled=0.5, key=own_key(recipe, 3))
    np.testing.assert_array_equal(X, expected[0])
    np.testing.assert_array_equal(y, expected[1])
    assert rest == [None, None]
    assert not np.array_equal(y, teacher(X))


def test_retries_let_a_relu_student_follow_its_labels_where_its_units_are_silent():
    relu = Teacher.one_hidden_layer(inputs=10, units=2, activation="relu", key=0)
    how = {"restarts": 10, "repeats": 1, "fresh": 500, "nulls": 30}
    warm, tried = (experiment.experiment(relu, 20, 4, 2, Recipe(retries=k, **how)) for k in (0, 10))
    assert warm.report.memorisation.value < 0.9  # P = 20 of p = 44
    assert tried.report.memorisation.value == pytest.approx(1.0, abs=1e-6)


def test_a_trajectory_ends_at_the_student_and_falls_on_the_way(teacher, diagram):
    path = trajectory(teacher, P_MANY, M, 1, Recipe(fresh=500, nulls=30, restarts=1), steps=(1, 3, 10, 1000))
    errors = path.values("training_error")
    assert all(a >= b for a, b in pairwise(errors))
    assert path.reports[-1].memorisation.value is None
    key = own_key(diagram.recipe, 1)
    X, y = teacher.sample(P_MANY, key=key)
    for step, error in zip(path.steps, errors):
        student = train(ww.FullyConnected(widths=[M], activation="erf"), X, y, key=key, steps=step)
        assert error == pytest.approx(student.training_error / np.mean(y**2), rel=1e-6, abs=1e-15)
    assert [row["step"] for row in path.records()] == [1, 3, 10, 1000]
    assert path.records()[0]["overlap"] == path.values("overlap")[0]


def test_real_data_are_tested_on_what_did_not_train(rng):
    X = rng.standard_normal((60, 4))
    data = Teacher.of_data(X, np.sign(X[:, 0]))
    run = experiment.experiment(data, 40, 2, recipe=Recipe(restarts=1, repeats=0, nulls=20))
    assert (run.report.examples, run.report.fresh) == (40, 20)
    assert run.report.overlap.value is None
    with pytest.raises(InputError, match="examples: expected fewer than all 60, got 60"):
        experiment.experiment(data, 60, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": ()}, "sizes: expected"),
        ({"sizes": (1.0, -2.0)}, "sizes: expected numbers above zero"),
        ({"widths": 0.0}, "widths: expected numbers above zero"),
        ({"seeds": 0}, "seeds"),
        ({"restarts": 0}, "restarts"),
        ({"noise": -1.0}, "noise"),
        ({"activation": np.tanh}, "activation: expected a name"),
        ({"recipe": Recipe(), "noise": 0.1}, "recipe: expected it or its fields"),
        ({"stepz": 3}, "unknown setting"),
        ({"method": "newton"}, "unknown method"),
        ({"teacher": np.sin}, "teacher: expected a Teacher, got ufunc; make one, of data by Teacher.of_data"),
    ],
)
def test_it_refuses_what_makes_no_grid(teacher, arguments, message):
    with pytest.raises(InputError, match=message):
        phase_diagram(**{"teacher": teacher, "sizes": (0.5,), "widths": (1.0,), "seeds": 1} | arguments)


def test_too_few_seeds_are_said_once(teacher):
    found = phase_diagram(teacher, sizes=(0.5, 1.0), widths=(1.0,), seeds=1, repeats=0, nulls=2)
    with pytest.warns(DataWarning) as said:
        assert len(found.verdicts[0]) == 2
    assert len(said) == 1


def test_it_refuses_unknown_probes_words_and_steps(teacher, diagram):
    with pytest.raises(InputError, match="probe: expected one of overlap"):
        diagram.median("overlaps")
    with pytest.raises(InputError, match="word: expected one of collapsed"):
        diagram.fraction("learnt")
    with pytest.raises(InputError, match="steps: expected increasing"):
        trajectory(teacher, P_FEW, M, steps=(3, 2))
    with pytest.raises(InputError, match="method: expected one of gauss-newton"):
        trajectory(teacher, P_FEW, M, recipe=Recipe(method="posterior"))


def test_the_default_grid_is_what_it_says():
    assert phase.SIZES[0] < 1 < phase.SIZES[-1]
    assert Recipe() == experiment.PLAIN


@pytest.mark.slow
def test_the_transition_of_the_theory():
    """N0 = 20, M = 3, N1 = 6, eight seeds: zero training error and a wrong student at P ≤ N0 N1, the teacher from 2."""
    teacher = Teacher.one_hidden_layer(inputs=20, units=3, activation="erf", gain=2.0, key=0)
    found = phase_diagram(teacher, sizes=(0.5, 1.0, 2.0, 6.0), widths=(2.0,), seeds=8, repeats=1)
    q, error, m = (found.median(name)[0] for name in ("overlap", "test_error", "memorisation"))
    assert found.median("training_error").max() < 1e-15
    assert q[:2].max() < 0.9
    assert q[2:].min() > 1 - 1e-6
    assert error[:2].min() > 0.1
    assert error[2:].max() < 1e-12
    assert np.abs(m[:2] - 1).max() < 0.02  # P < p = 126
    assert 126 / 720 < m[3] < 0.5  # twice as many units as there are to copy: m stays above p/P
    assert [said.word for said in found.verdicts[0]] == ["memorised", "memorised", "partial", "collapsed"]


@pytest.mark.slow
def test_a_little_noise_and_the_error_of_collapsed_students_is_not_gaussian():
    """By Adam, which leaves the units that are too many where they are; and for a student without such units."""
    teacher = Teacher.one_hidden_layer(inputs=20, units=3, activation="erf", gain=2.0, key=0)
    how = {"seeds": 8, "noise": 0.05, "repeats": 0}
    found = phase_diagram(teacher, sizes=(1.0, 3.0), widths=(2.0,), method="adam", restarts=1, **how)
    few, many = found.median("kurtosis")[0]
    assert abs(few) < 0.2
    assert many > 0.4
    exact = phase_diagram(teacher, sizes=(4.0,), widths=(1.0,), restarts=5, **how)
    assert exact.median("kurtosis")[0, 0] > 1.0
