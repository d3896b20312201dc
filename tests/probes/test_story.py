"""One task told twice: the theory's words are those of `infer`, the student's those of its probes."""

import dataclasses

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.posterior.features import target_alignment
from widthwise.probes import Teacher, story, train
from widthwise.probes import story as told_by
from widthwise.probes.story import LINES, _random, alignment

P = 60


@pytest.fixture(scope="module")
def network():
    return ww.FullyConnected(widths=[5], activation="erf", weight_precisions=(0.5, 2.0))


@pytest.fixture(scope="module")
def teacher():
    return Teacher.one_hidden_layer(inputs=6, units=2, key=1)


@pytest.fixture(scope="module")
def told(network, teacher):
    return story(network, teacher, P, temperature=0.02, noise=0.1, repeats=1, permutations=1, fresh=300, key=4)


def test_the_theory_says_what_infer_says(told, network, teacher):
    X, y, X_test, y_test = teacher.split(P, 300, noise=0.1, key=4)
    posterior = ww.infer(network, X, y, temperature=0.02)
    aligned = posterior.alignment()
    assert told.theory == {
        "Q": pytest.approx(posterior.order_parameters["Q"][0]),
        "alignment_before": pytest.approx(aligned.before),
        "alignment_after": pytest.approx(aligned.after),
        "participation": None,
        "memorisation": pytest.approx(posterior.memorisation),
        "training_error": pytest.approx(posterior.training_error.total / np.mean(y**2)),
        "test_error": pytest.approx(posterior.score(X_test, y_test).total / np.mean(y_test**2)),
    }
    assert told.validity == posterior.validity.verdict
    assert told.temperature == 0.02


def test_the_student_says_what_its_probes_say(told, network, teacher):
    X, y, X_test, y_test = teacher.split(P, 300, noise=0.1, key=4)
    student = train(network, X, y, restarts=3, key=4)
    m = ww.memorisation(train.fit(network, restarts=3, key=4), X, y, repeats=1, key=4)
    assert told.student["memorisation"] == pytest.approx(m.value)
    assert told.student["training_error"] == pytest.approx(student.training_error / np.mean(y**2))
    assert told.student["test_error"] == pytest.approx(np.mean((student(X_test) - y_test) ** 2) / np.mean(y_test**2))
    Phi = student.hidden(X)
    assert told.student["alignment_after"] == pytest.approx(target_alignment(Phi @ Phi.T, y[:, None]))
    assert told.student["Q"] is None
    assert told.report.shuffled_r2.value is not None
    assert told.report.overlap.value is not None


def test_alignment_is_the_dense_formula_and_sees_neither_scale_nor_rotation(rng):
    Phi, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    K, T = Phi @ Phi.T, np.outer(y, y)
    expected = np.sum(K * T) / (np.linalg.norm(K) * np.linalg.norm(T))
    turned = Phi @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    for features, target in ((Phi, y), (3 * Phi, -2 * y), (turned, y)):
        assert alignment(features, target) == pytest.approx(expected, rel=1e-10)
    assert alignment(y[:, None], 7 * y) == pytest.approx(1.0)


@pytest.mark.parametrize("widths", [[1000], [800, 800]])
def test_before_the_data_a_wide_layer_has_the_alignment_of_its_kernel(rng, widths):
    network = ww.FullyConnected(widths=widths, activation="erf", weight_precisions=2.5, bias_variance=0.3)
    X = rng.standard_normal((25, 6))
    y = X[:, 0] + 0.5
    kernel = ww.infer(network, X, y, temperature=0.1, approximation="infinite").alignment().before
    drawn = [_random(network, X, y, key) for key in range(30)]
    assert np.mean(drawn) == pytest.approx(kernel, rel=0.05)
    assert abs(np.mean(drawn) - kernel) < 4 * np.std(drawn) / np.sqrt(30)


def test_data_as_arrays_and_a_student_that_is_trained_already(told, network, teacher):
    data = teacher.split(P, 300, noise=0.1, key=4)
    again = story(network, data, temperature=0.02, repeats=0, key=4, student=told.trained)
    assert again.theory == pytest.approx(told.theory)
    assert again.student == {**again.student, "alignment_after": told.student["alignment_after"], "memorisation": None}
    assert again.report.overlap.value is None


def test_it_is_one_table_and_plain_values(told):
    text = str(told)
    for words, said in LINES.values():
        assert words in text
        assert said in text
    assert max(map(len, text.splitlines())) < 140
    record = told.records()
    assert record["theory"] == told.theory
    assert record["report"] == told.report.records()
    assert set(record) == {field.name for field in dataclasses.fields(told)} - {"trained"}


def test_it_refuses_what_it_cannot_tell(network, teacher, rng):
    with pytest.raises(InputError, match="examples: expected P beside a teacher"):
        story(network, teacher)
    with pytest.raises(InputError, match="task: expected a Teacher"):
        story(network, (rng.standard_normal((5, 2)), np.ones(5)))
    with pytest.raises(InputError, match="network: expected FullyConnected"):
        story(ww.PrecomputedKernel(widths=[3]), teacher, P)
    with pytest.raises(InputError, match="features: expected features and targets"):
        alignment(np.zeros((3, 2)), np.ones(3))


def test_the_name_is_the_functions():
    assert callable(told_by)
