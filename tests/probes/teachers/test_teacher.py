"""What holds of every teacher: closed forms against Monte Carlo, keys, shapes, frozen arrays, refusals."""

import dataclasses

import numpy as np
import pytest

import widthwise as ww
from widthwise.probes import Teacher
from widthwise.store.fingerprint import fingerprint


def bump(h):
    return np.exp(-0.5 * h * h) + 0.3 * h


RANDOM = np.random.default_rng(5)
DATA = RANDOM.normal(size=(60, 4)) + 0.5, RANDOM.normal(size=(60, 2)) + 1.0
TEACHERS = {
    "erf": lambda key: Teacher.one_hidden_layer(20, 3, key=key),
    "relu": lambda key: Teacher.one_hidden_layer(7, 4, activation="relu", gain=1.3, readout=[1, -2, 0.5, 3], key=key),
    "tanh": lambda key: Teacher.one_hidden_layer(6, 9, activation="tanh", orthonormal=False, readout="random", key=key),
    "callable": lambda key: Teacher.one_hidden_layer(5, 2, activation=bump, gain=0.7, readout=-1.5, key=key),
    "linear": lambda key: Teacher.linear(8, gain=1.7, key=key),
    "single": lambda key: Teacher.single_index(9, [0.3, -1.0, 0.0, 0.4], key=key),
    "multi": lambda key: Teacher.multi_index(6, {(1, 1, 0): 0.7, (0, 2, 1): -0.4, (0, 0, 0): 0.2}, key=key),
    "deep": lambda key: Teacher.deep(10, [8, 5], gain=1.5, key=key),
    "deep relu": lambda key: Teacher.deep(10, [8, 5], activation="relu", key=key),
    "deep, linear": lambda key: Teacher.deep(6, [4, 9], activation="identity", gain=1.2, key=key),
    "deep, shallow": lambda key: Teacher.deep(6, [4], activation="gelu", gain=1.2, key=key),
    "manifold": lambda key: Teacher.hidden_manifold(30, 6, 3, key=key),
    "manifold, relu": lambda key: Teacher.hidden_manifold(9, 4, 2, fold="relu", activation="relu", key=key),
    "manifold, inputs": lambda key: Teacher.hidden_manifold(12, 5, 2, target="inputs", fold="relu", key=key),
    "manifold, linear": lambda key: Teacher.hidden_manifold(
        9, 5, 2, target="inputs", fold="relu", activation="identity", readout=[1.0, -3.0], key=key
    ),
    "templates": lambda key: Teacher.templates(5, 3, separation=1.5, spread=0.8, key=key),
    "one-hot": lambda key: Teacher.templates(4, 6, orthonormal=False, labels="onehot", key=key),
    "data": lambda key: Teacher.of_data(*DATA),
}
MADE = {name: make(3) for name, make in TEACHERS.items()}


@pytest.fixture(params=TEACHERS)
def name(request):
    return request.param


@pytest.fixture
def teacher(name):
    return MADE[name]


def deviations(values, expected):
    """|mean − expected| in standard errors, the largest."""
    error = values.std(0) / np.sqrt(len(values))
    return (np.abs(values.mean(0) - expected) / np.maximum(error, 1e-12)).max()


def test_the_population_is_what_sampling_finds(name, teacher):
    """Mean and power of y, mean and covariance of x, within 4 standard errors (5 for the worst of many entries)."""
    n = teacher.size or 200_000
    X, y = teacher.sample(n, key=11)
    X = X.reshape(n, -1)
    if teacher.mean is not None:
        assert deviations(y, teacher.mean) < 4
    if teacher.power is not None:
        assert deviations((y**2).reshape(n, -1).sum(1), teacher.power) < 4
    assert deviations(X, teacher.input_mean) < 5
    products = (X - teacher.input_mean)[:, :, None] * (X - teacher.input_mean)[:, None, :] if n < 1000 else None
    if products is None:
        centred = X - teacher.input_mean
        found = centred.T @ centred / n
        error = np.sqrt(((centred**2).T @ (centred**2) / n - found**2) / n)
        assert (np.abs(found - teacher.input_covariance) / error).max() < 5
    else:
        assert np.allclose(products.mean(0), teacher.input_covariance)
    known = {"deep": (True, False), "deep relu": (False, False), "manifold, inputs": (False, False)}
    assert (teacher.mean is not None, teacher.power is not None) == known.get(name, (True, True))


def test_the_spectrum_adds_up_to_the_power(name, teacher):
    spectrum = teacher.spectrum(30)
    if name in ("deep", "deep relu", "manifold, inputs", "manifold, linear", "templates", "one-hot", "data"):
        assert spectrum is None
        return
    assert spectrum.shape == (31,)
    assert (spectrum >= -1e-15).all()
    assert spectrum[0] == pytest.approx(teacher.mean**2, abs=1e-12)
    assert np.allclose(teacher.spectrum(3), spectrum[:4])
    left = {"erf": 2e-3, "relu": 1e-2, "tanh": 1e-2, "manifold": 2e-3, "manifold, relu": 1e-2, "deep, shallow": 1e-4}
    assert -1e-10 <= teacher.power - spectrum.sum() <= left.get(name, 1e-9) * teacher.power


def test_the_same_key_is_the_same_task(name, teacher):
    again, other = TEACHERS[name](3), TEACHERS[name](4)
    X, y = teacher.sample(20, noise=0.2, shuffled=0.5, key=7)
    for found, expected in zip(again.sample(20, noise=0.2, shuffled=0.5, key=7), (X, y)):
        assert np.array_equal(found, expected)
    assert not np.array_equal(X, teacher.inputs(20, key=8))
    pairs = zip(teacher.sample(20, key=7), other.sample(20, key=7))
    assert all(np.array_equal(a, b) for a, b in pairs) == (name == "data")
    if name != "callable":
        assert fingerprint(again) == fingerprint(teacher)
        assert name == "data" or fingerprint(other) != fingerprint(teacher)
    else:
        with pytest.raises(ww.InputError, match="fingerprint"):
            fingerprint(teacher)


def test_more_examples_keep_the_first(teacher):
    X, y = teacher.sample(30, key=7)
    fewer, noisier = teacher.sample(10, key=7), teacher.sample(30, noise=1.0, shuffled=1.0, key=7)
    assert np.array_equal(fewer[0], X[:10])
    assert np.allclose(fewer[1], y[:10], rtol=1e-13, atol=1e-13)
    assert np.array_equal(noisier[0], X)
    assert np.array_equal(teacher.inputs(30, key=7), X)


def test_a_split_is_a_sample_and_others(teacher):
    X, y, X_test, y_test = teacher.split(25, 15, noise=0.3, shuffled=0.4, key=2)
    for found, expected in zip((X, y), teacher.sample(25, noise=0.3, shuffled=0.4, key=2)):
        assert np.allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert len(X_test) == len(y_test) == 15
    everything = np.concatenate([X, X_test]).reshape(40, -1)
    assert len(np.unique(everything, axis=0)) == 40
    assert np.allclose(y_test, teacher.sample(40, key=2)[1][25:], rtol=1e-13, atol=1e-13)


def test_its_function_is_its_labels(name, teacher):
    """y = f*(x) = hidden(x)·readout, where y is a function of x."""
    X, y = teacher.sample(12, key=1)
    if not teacher.has_function:
        assert name in ("manifold", "manifold, relu", "data")
        assert teacher.hidden(X) is None
        with pytest.raises(ww.InputError, match=r"function of x.*teacher\.sample"):
            teacher(X)
        return
    assert teacher(X).shape == y.shape
    if name in ("templates", "one-hot"):
        return
    assert np.allclose(teacher(X), y, rtol=1e-13, atol=1e-13)
    assert np.allclose(teacher.hidden(X) @ teacher.readout, y, rtol=1e-13, atol=1e-13)


def test_units_are_directions(teacher):
    if teacher.units is not None:
        assert teacher.units.shape[1] == teacher.input_size
        assert np.allclose(np.linalg.norm(teacher.units, axis=1), 1.0)


def test_it_is_frozen(teacher):
    for field in dataclasses.fields(teacher):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(teacher, field.name, None)
        value = getattr(teacher, field.name)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable
    X, y = teacher.sample(5)
    X[:], y[:] = 0.0, 0.0  # what it hands out is the caller's
    assert np.abs(teacher.inputs(5)).max() > 0


def test_it_has_a_name(teacher):
    assert isinstance(teacher, Teacher)
    assert str(teacher.input_size) in teacher.name
    assert teacher.outputs == (1 if teacher.sample(2)[1].ndim == 1 else teacher.sample(2)[1].shape[1])


def test_equal_keys_do_no_harm():
    """The teacher's and the inputs' streams are different ones: with the same key the units are not inputs."""
    teacher = Teacher.one_hidden_layer(50, 1, orthonormal=False, key=0)
    X = teacher.inputs(1, key=0)
    assert abs(teacher.units[0] @ X[0]) / np.linalg.norm(X) < 0.5
    y = teacher.sample(400, key=0)[1]
    noise = teacher.sample(400, noise=1.0, key=0)[1] - y
    assert abs(np.corrcoef(noise, teacher.inputs(400, key=0)[:, 0])[0, 1]) < 0.2
    for repeat in range(3):  # what `ww.memorisation` adds to labels
        assert not np.isin(np.random.default_rng([0, repeat]).standard_normal(5), X).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Teacher.one_hidden_layer(3, 4), r"at most 3 orthonormal.*got 4.*orthonormal=False"),
        (lambda: Teacher.one_hidden_layer(0, 1), "inputs: expected a whole number of at least 1"),
        (lambda: Teacher.one_hidden_layer(3, 0), "units: expected a whole number of at least 1"),
        (lambda: Teacher.one_hidden_layer(3, 2, activation="ref"), "did you mean 'erf'"),
        (lambda: Teacher.one_hidden_layer(3, 2, activation=3.0), "name or an elementwise callable"),
        (lambda: Teacher.one_hidden_layer(3, 2, gain=0.0), "gain: expected a number above 0"),
        (lambda: Teacher.one_hidden_layer(3, 2, gain=float("nan")), "gain"),
        (lambda: Teacher.one_hidden_layer(3, 2, readout=[1.0, 2.0, 3.0]), "one number per unit"),
        (lambda: Teacher.one_hidden_layer(3, 2, readout="ones"), "'random'"),
        (lambda: Teacher.one_hidden_layer(3, 2, key=-1), "key"),
        (lambda: Teacher.linear(3, gain=-1.0), "gain"),
        (lambda: Teacher.single_index(3, [0.0, 0.0]), "at least one that is not zero"),
        (lambda: Teacher.single_index(3, [[1.0]]), "coefficients: expected shape"),
        (lambda: Teacher.single_index(3, {(1, 1): 1.0}), r"multi_index"),
        (lambda: Teacher.multi_index(1, {(1, 1): 1.0}), "coefficients: expected at most 1 orthonormal"),
        (lambda: Teacher.multi_index(3, {(1, 1): 1.0, (1,): 1.0}), "same number of orders"),
        (lambda: Teacher.multi_index(3, {(-1, 1): 1.0}), "orders"),
        (lambda: Teacher.multi_index(3, {(): 1.0}), "orders"),
        (lambda: Teacher.deep(3, []), "at least one hidden layer"),
        (lambda: Teacher.deep(3, 4), "one whole number per hidden layer"),
        (lambda: Teacher.deep(3, [2, 0]), "widths"),
        (lambda: Teacher.deep(3, [2], activation="tahn"), "did you mean 'tanh'"),
        (lambda: Teacher.hidden_manifold(9, 2, 3), r"at most 2 orthonormal"),
        (lambda: Teacher.hidden_manifold(9, 4, 3, target="latents"), "did you mean 'latent'"),
        (lambda: Teacher.hidden_manifold(9, 4, 3, fold="sing"), "did you mean 'sin'"),
        (lambda: Teacher.templates(9, 1), "templates: expected a whole number of at least 2"),
        (lambda: Teacher.templates(3, 4), "templates: expected at most 3 orthonormal"),
        (lambda: Teacher.templates(9, spread=0.0), "spread"),
        (lambda: Teacher.templates(9, labels="one-hot"), "did you mean 'onehot'"),
        (lambda: Teacher.of_data(np.ones((3, 2)), np.ones(4)), r"one row per example \(3\), got 4"),
        (lambda: Teacher.of_data(np.ones(3), np.ones(3)), "X: expected shape"),
        (lambda: Teacher.of_data(np.full((2, 2), np.nan), np.ones(2)), "finite"),
        (lambda: MADE["erf"].sample(0), "at least 1, got 0"),
        (lambda: MADE["erf"].sample(5, noise=-0.1), "noise"),
        (lambda: MADE["erf"].sample(5, shuffled=1.5), "fraction of 0 … 1"),
        (lambda: MADE["erf"].sample(5, key=-1), "key"),
        (lambda: MADE["erf"].split(5, 0), "test"),
        (lambda: MADE["erf"](np.ones((2, 19))), "expected 20 inputs.*got 19"),
        (lambda: MADE["erf"](np.full((2, 20), np.inf)), "finite"),
        (lambda: MADE["erf"].hidden(np.ones(20)), "X: expected shape"),
        (lambda: MADE["erf"].spectrum(501), "at most 500"),
        (lambda: MADE["data"].sample(61), "at most all 60, got 61"),
        (lambda: MADE["data"].split(40, 30), "at most all 60, got 70"),
    ],
)
def test_bad_input_is_refused_in_words(wrong, message):
    with pytest.raises(ww.InputError, match=message):
        wrong()
