import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from widthwise import FullyConnected, memorisation
from widthwise.bound import Measurement
from widthwise.errors import InputError
from widthwise.probes import Probe, Report, Student, Teacher, report, shuffled_r2, train

SMALL = {"fresh": 500, "nulls": 20}


def task(N0=8, M=3, activation="erf", key=0):
    return Teacher.one_hidden_layer(N0, M, activation=activation, gain=2.0, key=key)


def some(rng, N1=5, N0=8, activation="erf", **settings):
    return Student(rng.standard_normal((N1, N0)), rng.standard_normal(N1), activation, **settings)


def copy(teacher, extra=0):
    """The teacher itself, some dead units more."""
    W = np.vstack([teacher.gain * teacher.units, np.zeros((extra, teacher.units.shape[1]))])
    a = np.r_[teacher.readout, np.zeros(extra)]
    return Student(W, a, teacher.activation)


def rotated(teacher, O):
    return dataclasses.replace(teacher, units=teacher.units @ O)


def same(a, b, atol=1e-10):
    for name, probe in a.probes.items():
        other = b.probes[name]
        assert (probe.value is None) == (other.value is None), name
        if probe.value is not None:
            assert other.value == pytest.approx(probe.value, abs=atol), name
            assert probe.effect is None or other.effect == pytest.approx(probe.effect, abs=1e-6), name


def no_nan(found):
    assert json.loads(json.dumps(found.records(), allow_nan=False)) is not None
    assert "nan" not in str(found)


def test_a_collapsed_student(rng):
    teacher = task()
    found = report(copy(teacher), teacher, **SMALL)
    for name in ("overlap", "overlap_excess", "subspace", "cka"):
        assert found.probes[name].value == pytest.approx(1.0, abs=1e-12), name
    assert found.off_overlap.value == pytest.approx(0.0, abs=1e-12)
    assert found.n90.value == 3
    assert found.participation.value == pytest.approx(3.0, abs=1e-10)
    assert found.test_error.value == pytest.approx(0.0, abs=1e-20)
    assert found.kurtosis.value is None
    assert "numerically zero" in found.kurtosis.reason
    assert found.overlap.effect > 5.0


def test_a_random_student_is_at_its_nulls(rng):
    teacher, effects = task(20, 3), {}
    for _ in range(50):
        found = report(some(rng, 6, 20), teacher, fresh=100, nulls=60)
        for name in ("overlap", "overlap_excess", "off_overlap", "subspace", "participation", "cka"):
            effects.setdefault(name, []).append(found.probes[name].effect)
    for name, values in effects.items():
        assert abs(np.mean(values)) < 4.0 / math.sqrt(50) + 4.0 / math.sqrt(60), name
        assert 0.6 < np.std(values) < 1.5, name


@pytest.mark.parametrize("kind", ["functions", "deep"])
def test_random_students_of_other_kinds_are_at_their_nulls(rng, kind):
    """Without readouts all units count alike; below a wide layer they nearly do: more features than of Gaussian a."""
    effects = []
    for _ in range(50):
        W, V = rng.standard_normal((6, 20)), rng.standard_normal((10, 6))
        deep = Student(W, np.ones(10), above=((V, None),))
        s = deep if kind == "deep" else Student.of_functions(deep, first_layer=W)
        found = report(s, task(20, 3), fresh=100, nulls=200)
        alone = report(s, nulls=200)
        effects.append([found.participation.effect, found.subspace.effect, alone.participation.effect])
    assert np.abs(np.mean(effects, axis=0)).max() < 4.0 / math.sqrt(50) + 4.0 / math.sqrt(200)
    assert 0.6 < np.std(effects, axis=0).min() < np.std(effects, axis=0).max() < 1.5


def test_very_few_fresh_inputs(rng):
    teacher = task()
    for n in (1, 2, 3):
        found = report(some(rng), teacher, X_test=teacher.inputs(n, 3), nulls=20)
        assert found.cka.reason == "fewer than 4 fresh inputs"
        no_nan(found)


def test_the_gaussian_is_no_null_of_a_random_students_error(rng):
    """A sum of a few saturated units is flat: below 0, not 0 ± √(24/n)."""
    teacher = task(20, 3)
    values = [report(some(rng, 6, 20), teacher, fresh=5000, nulls=20, key=i).kurtosis.value for i in range(10)]
    assert np.mean(values) < -0.2


@pytest.mark.parametrize("activation", ["erf", "tanh"])
def test_permutations_and_signs_of_units_change_no_probe(rng, activation):
    teacher, s = task(activation=activation), some(rng, activation=activation)
    order, signs = rng.permutation(5), rng.choice([-1.0, 1.0], 5)
    moved = Student((signs[:, None] * s.weights)[order], (signs * s.readout)[order], activation)
    X, y = teacher.sample(30, noise=0.1, key=3)
    settings = {**SMALL, "X": X, "y": y, "memorisation": 0.5}
    same(report(s, teacher, **settings), report(moved, teacher, **settings))
    b, V, c = rng.standard_normal(5), rng.standard_normal((4, 5)), rng.standard_normal(4)
    biased = Student(s.weights, s.readout, activation, b)
    turned = Student((signs[:, None] * s.weights)[order], (signs * s.readout)[order], activation, (signs * b)[order])
    same(report(biased, teacher, **settings), report(turned, teacher, **settings))
    deep = Student(s.weights, c, activation, above=((V, None),))
    turned = Student((signs[:, None] * s.weights)[order], c, activation, above=(((signs * V)[:, order], None),))
    same(report(deep, teacher, **settings), report(turned, teacher, **settings))


def test_rotations_of_the_inputs_change_no_probe(rng):
    teacher, s = task(), some(rng)
    O, X = np.linalg.qr(rng.standard_normal((8, 8)))[0], rng.standard_normal((400, 8))
    turned = Student(s.weights @ O, s.readout)
    a = report(s, teacher, X_test=X, nulls=20)
    b = report(turned, rotated(teacher, O), X_test=X @ O, nulls=20)
    for name, probe in a.probes.items():
        if probe.value is not None:
            assert b.probes[name].value == pytest.approx(probe.value, abs=1e-10), name


def test_the_error_is_measured_against_the_target_without_noise(rng):
    teacher, s = task(), some(rng)
    X = teacher.inputs(1000, key=77)
    found = report(s, teacher, X_test=X, y_test=np.zeros(1000), nulls=20)
    assert found.test_error.value == pytest.approx(np.mean((s(X) - teacher(X)) ** 2) / np.mean(teacher(X) ** 2))
    many = [report(s, teacher, fresh=500, nulls=2, key=i).test_error for i in range(60)]
    spread = np.std([m.value for m in many])
    assert np.mean([m.standard_error for m in many]) == pytest.approx(spread, rel=0.35)


def test_fresh_inputs_are_not_those_of_training(rng):
    teacher, asked = task(), []

    def predict(x):
        asked.append(np.array(x))
        return np.ones(len(x))

    X, y = teacher.sample(50, key=0)
    report(Student.of_functions(predict), teacher, X=X, y=y, key=0, **SMALL)
    fresh = next(x for x in asked if len(x) == 500)
    assert not (fresh[:, None, 0] == X[None, :, 0]).any()


def test_training_error_of_the_data_or_as_remembered(rng):
    teacher, s = task(), some(rng, training_error=0.3)
    X, y = teacher.sample(40, noise=0.5, key=1)
    given = report(s, teacher, X=X, y=y, **SMALL)
    assert given.training_error.value == pytest.approx(np.mean((y - s(X)) ** 2) / np.mean(y**2))
    assert (given.examples, given.parameters, given.inputs, given.width, given.teacher_units) == (40, 45, 8, 5, 3)
    assert report(s, teacher, fresh=20_000, nulls=20).training_error.value == pytest.approx(
        0.3 / teacher.power, rel=0.05
    )


def test_memory_as_number_result_or_fit(rng):
    teacher, s = task(), some(rng)
    X, y = teacher.sample(40, key=1)

    def fit(X, y):
        v = np.linalg.lstsq(X, y, rcond=None)[0]
        return lambda x: x @ v

    measured = report(s, teacher, X=X, y=y, memorisation=fit, shuffled=fit, key=3, **SMALL)
    m, r2 = memorisation(fit, X, y, key=3), shuffled_r2(fit, X, y, key=3)
    handed = report(s, teacher, memorisation=m, shuffled=r2, **SMALL)
    for found in (measured, handed):
        assert found.memorisation.value == pytest.approx(m.value)
        assert found.memorisation.standard_error == pytest.approx(m.standard_error)
        assert found.shuffled_r2.value == r2.value
    plain = report(s, teacher, memorisation=0.25, shuffled=Measurement(0.5, 0.1), **SMALL)
    assert plain.memorisation == Probe(0.25)
    assert plain.shuffled_r2 == Probe(0.5, 0.1)
    assert report(s, teacher, **SMALL).memorisation.reason.startswith("not measured")


def test_a_posteriors_student_errs_as_its_mean_does(rng):
    teacher = task()
    samples = SimpleNamespace(predict=lambda X: SimpleNamespace(mean=teacher(X) + 0.1))
    mean = dataclasses.replace(some(rng, method="posterior"), samples=samples)
    found = report(mean, teacher, fresh=5000, nulls=20)
    assert found.test_error.value == pytest.approx(0.01 / teacher.power, rel=0.1)
    assert "same everywhere" in found.kurtosis.reason


@pytest.mark.parametrize(
    ("N0", "M", "N1"), [(8, 3, 1), (8, 3, 2), (8, 3, 7), (8, 1, 4), (8, 1, 1), (1, 1, 2), (2, 2, 9)]
)
def test_every_size_has_a_report(rng, N0, M, N1):
    found = report(some(rng, N1, N0), task(N0, M), **SMALL)
    no_nan(found)
    assert (found.copy_average is None) == (N1 >= M)
    assert (found.off_overlap.value is None) == (M == 1)


def test_narrower_than_its_teacher(rng):
    teacher = task()
    s = Student(np.vstack([teacher.units[0], teacher.units[1:].sum(axis=0)]), [1.0, 1.0])
    found = report(s, teacher, **SMALL)
    assert found.copy_average == pytest.approx((1 + 1 / math.sqrt(2)) / 3)
    assert found.overlap.value == pytest.approx(found.copy_average, abs=1e-12)
    assert "copies and one average would overlap 0.569" in str(found)


def test_odd_students_have_a_report(rng):
    teacher = task()
    W = rng.standard_normal((4, 8))
    W[2:] = 0.0
    for s in (
        Student(W, [1.0, 2.0, 0.0, 3.0]),
        Student(np.zeros((3, 8)), np.ones(3)),
        Student(W, np.zeros(4)),
        Student(np.vstack([W[:1]] * 3), np.ones(3)),
        copy(teacher, extra=3),
        Student(rng.standard_normal((3, 8)), np.ones(3), "relu", biases=rng.standard_normal(3)),
        Student(rng.standard_normal((3, 8)), np.ones(2), above=((rng.standard_normal((2, 3)), None),)),
        lambda x: np.asarray(x)[:, 0],
        lambda x: np.ones(len(x)),
    ):
        no_nan(report(s, teacher, **SMALL))
    assert report(Student(W, np.zeros(4)), teacher, **SMALL).participation.reason is not None
    assert report(Student(np.zeros((3, 8)), np.ones(3)), teacher, **SMALL).overlap.value == 0.0


def test_what_is_lacking_has_a_reason(rng):
    teacher, W = task(), rng.standard_normal((4, 8))
    alone = report(lambda x: x[:, 0], teacher, **SMALL)
    assert "first_layer" in alone.overlap.reason
    assert "hidden=function" in alone.cka.reason
    assert alone.kurtosis.value is not None
    layered = Student.of_functions(lambda x: x[:, 0], hidden=lambda x: x[:, :3], first_layer=W, parameters=12)
    known = report(layered, teacher, **SMALL)
    assert known.overlap.value is not None
    assert known.cka.null_mean is None
    assert known.parameters == 12
    bare = report(some(rng), lambda x: np.asarray(x)[:, 0])  # a target without units or inputs
    assert bare.overlap.reason == "the teacher has no units to compare with"
    assert bare.test_error.value is None


def test_the_first_layer_of_a_deep_student_is_read_by_the_next(rng):
    W, V = rng.standard_normal((3, 8)), np.array([[3.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    s = Student(W, np.ones(2), above=((V, None),))
    assert report(s, task(), **SMALL).participation.value == pytest.approx(1.0)


def test_real_data(rng):
    X, y = rng.standard_normal((80, 5)), np.sign(rng.standard_normal(80))
    s = some(rng, 4, 5)
    for teacher in (None, Teacher.of_data(X, y)):
        found = report(s, teacher, X=X[:40], y=y[:40], X_test=X[40:], y_test=y[40:], memorisation=1.0, nulls=20)
        no_nan(found)
        assert found.overlap.value is None
        assert found.kurtosis.value is None
        assert found.participation.effect is not None
        assert found.test_error.value == pytest.approx(np.mean((s(X[40:]) - y[40:]) ** 2))
        unseen = report(s, teacher, X=X, y=y, nulls=20)
        assert "X_test" in unseen.test_error.reason


def test_every_family_of_teachers_has_a_report(rng):
    families = [
        Teacher.linear(8),
        Teacher.single_index(8, [0.0, 1.0, 0.5]),
        Teacher.multi_index(8, {(1, 1): 1.0, (2, 0): 0.3}),
        Teacher.deep(8, [5, 4]),
        Teacher.hidden_manifold(8, 4, 2),
        Teacher.hidden_manifold(8, 4, 2, target="inputs"),
        Teacher.templates(8, 3),
        task(activation="relu"),
    ]
    for teacher in families:
        found = report(some(rng), teacher, **SMALL)
        no_nan(found)
        assert found.test_error.value is not None, teacher.name


def test_records_make_the_report_again(rng):
    found = report(some(rng), task(), memorisation=Measurement(0.5, 0.1), **SMALL)
    assert Report.of_records(json.loads(json.dumps(found.records()))) == found


def test_the_table_names_every_probe_in_words(rng):
    text = str(report(some(rng), task(), **SMALL))
    assert "N0 = 8  M = 3  N1 = 5" in text
    assert "every teacher's unit has a student's unit" in text
    assert "memorisation m: –  (not measured: pass memorisation=fit, with X and y)" in text
    assert max(map(len, text.splitlines())) <= 140


def test_the_same_key_gives_the_same_report(rng):
    s = some(rng)
    assert report(s, task(), key=5, **SMALL) == report(s, task(), key=5, **SMALL)
    assert report(s, task(), key=5, **SMALL) != report(s, task(), key=6, **SMALL)


def test_effects_need_a_null_that_varies():
    assert Probe(1.0, None, 0.5, 0.25).effect == 2.0
    assert Probe(1.0, None, 0.5, 0.0).effect is None
    assert Probe(1.0).effect is None
    assert Probe.of(math.inf).reason is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"X": np.ones((3, 8))}, "expected with y"),
        ({"y_test": np.ones(3)}, "expected with y_test"),
        ({"fresh": 10}, "fresh"),
        ({"nulls": 1}, "nulls"),
        ({"key": -1}, "key"),
        ({"memorisation": lambda X, y: None}, "expected X and y beside a fit"),
        ({"memorisation": "high"}, "memorisation"),
    ],
)
def test_bad_input(rng, settings, message):
    with pytest.raises(InputError, match=message):
        report(some(rng), task(), **settings)
    with pytest.raises(InputError, match="expected a Teacher"):
        report(some(rng), 3.0)
    with pytest.raises(InputError, match="expected 5 columns"):
        report(some(rng, 4, 5), task())


def test_of_a_student_that_was_trained_here_m_needs_nothing_more():
    """The two lines of the guide: m by warm refits of the student itself, and the data it learnt from."""
    teacher = task(6, 2)
    X, y = teacher.sample(60, key=1)
    network = FullyConnected(widths=[2], activation="erf")
    s = train(network, X, y, restarts=3, key=2)
    found = report(s, teacher, **SMALL)
    given = report(s, teacher, X=X, y=y, memorisation=train.fit(network, restarts=3, key=2), **SMALL)
    assert found.memorisation.value == pytest.approx(given.memorisation.value, abs=0.02)
    assert found.memorisation.value == pytest.approx(14 / 60, abs=0.1)  # p/P: as many units as the teacher has
    assert found.examples == 60
    assert found.training_error.value < 1e-15
    assert report(s, teacher, memorisation=False, **SMALL).memorisation.value is None
