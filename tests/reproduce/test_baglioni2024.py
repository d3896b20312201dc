"""Baglioni et al. 2024: the facts, the images, what stays of them, and the study.

The tests on the real images need CIFAR-10's two classes: set WIDTHWISE_DATA to the folder that holds
cifar10_airplane_automobile.npz.
"""

import math
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Row, Setup, cifar10, reproduce
from widthwise.reproduce import baglioni2024 as study

FOLDER = Path(os.environ.get("WIDTHWISE_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = pytest.mark.skipif(not (FOLDER / cifar10.NPZ).is_file(), reason="the CIFAR-10 images are not here")
P_MAX = 1225


def stub(value=0.35, error=0.001):
    """Stands in for samples."""
    estimate = SimpleNamespace(value=value, standard_error=error, rhat=1.0, ess=500.0)
    return SimpleNamespace(generalisation_error=estimate, seconds=1.0)


class Unsampled(Setup):
    """A setup that notes what it was asked to sample."""

    asked = []  # noqa: RUF012

    def sample(self, network, X, y, X_test, y_test, *, temperature, sampler):
        self.asked.append((network.widths[0], len(X), temperature, sampler))
        return stub(0.35 + getattr(sampler, "step_size", 0.0))


# --- facts ---


def test_the_published_table():
    points = study.published()
    assert len(points) == len({(p.P, p.T) for p in points}) == 147
    assert all(p.N1 == 4 * p.P for p in points)
    assert {p.T for p in points} == {0.01, 0.5, 1.0}
    assert sum(p.sampled is not None for p in points) == sum(p.standard_error is not None for p in points) == 12
    assert {(p.P, p.T) for p in points if p.sampled is not None} >= set(study.FULL)


def test_the_order_is_of_both_classes():
    assert cifar10.labels("train")[:8].tolist() == [1, 1, 0, 0, 1, 0, 1, 1]
    assert np.bincount(cifar10.labels("test")[:1000]).tolist() == [493, 507]


@pytest.fixture(scope="module")
def quick():
    """The quick study, with a stub for its chains: (what it found, what it asked to sample)."""
    Unsampled.asked = []
    return study.run(Unsampled(full=False)), list(Unsampled.asked)


def test_embedded_inner_products_give_the_published_theory(quick):
    found, _ = quick
    assert len(found.rows) == 3
    for row in found.rows:
        assert row.theory == pytest.approx(row.published, rel=1e-6)
        assert row.infinite != pytest.approx(row.published, rel=1e-3)


# --- images ---


def grey(pixel):
    red, green, blue = (float(channel) / 255 for channel in pixel)
    return (0.2989 * red + 0.587 * green + 0.114 * blue - 0.1307) / 0.3081


@pytest.fixture(scope="module")
def pictures():
    """Random images in CIFAR's order of the two classes: (train, test)."""
    rng = np.random.default_rng(1)
    return tuple(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (1400, 1000))


def write_npz(path, train, test):
    arrays = {}
    for split, pixels in (("train", train), ("test", test)):
        labels = cifar10.labels(split)[: len(pixels)]
        counts = np.bincount(labels)
        rows = np.zeros((2 * max(counts), 32, 32, 3), np.uint8)
        for c in (0, 1):
            rows[c : 2 * counts[c] : 2] = pixels[labels == c]
        arrays |= {f"X_{split}": rows}
    np.savez(path, **arrays)


def write_binaries(folder, train, test, *, between=3):
    """CIFAR-10's binary version: five batches and a test batch, with images of other classes between."""
    folder.mkdir(parents=True)
    cuts = np.array_split(np.arange(len(train)), 5)
    batches = [(f"data_batch_{i + 1}.bin", train[cut], cifar10.labels("train")[cut]) for i, cut in enumerate(cuts)]
    for name, pixels, labels in [*batches, ("test_batch.bin", test, cifar10.labels("test")[: len(test)])]:
        records = np.zeros((len(pixels), between, cifar10.RECORD), np.uint8)
        records[:, 1:, 0] = 7
        records[:, 0, 0] = labels
        records[:, 0, 1:] = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        records.tofile(folder / name)


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("X", "y", "X_test", "y_test"))


def test_both_formats_are_read_alike(pictures, tmp_path):
    train, test = pictures
    write_npz(tmp_path / cifar10.NPZ, train, test)
    write_binaries(tmp_path / "elsewhere" / cifar10.BINARIES, train, test)
    task = cifar10.images(tmp_path)
    assert task.X.shape == (P_MAX, 1024)
    assert task.X_test.shape == (1000, 1024)
    assert task.X[77, 32 * 5 + 9] == pytest.approx(grey(train[77, 5, 9]), rel=1e-12)
    assert task.X_test[999, 31] == pytest.approx(grey(test[999, 0, 31]), rel=1e-12)
    np.testing.assert_array_equal(task.y, cifar10.labels("train")[:P_MAX])
    for path in (tmp_path / "elsewhere", tmp_path / "elsewhere" / cifar10.BINARIES, tmp_path / cifar10.NPZ):
        assert same(cifar10.images(path), task)


def test_what_is_not_cifar_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"got none; pass --data FOLDER, or --quick"):
        cifar10.images(None)
    with pytest.raises(InputError, match="holds neither"):
        cifar10.images(tmp_path)
    with pytest.raises(InputError, match="holds neither"):
        cifar10.images(tmp_path / "absent.npz")
    (tmp_path / "bad.npz").write_text("no archive")
    with pytest.raises(InputError, match="expected uint8 X_train and X_test"):
        cifar10.images(tmp_path / "bad.npz")
    np.savez(tmp_path / "cut.npz", X_train=np.zeros((10, 32, 32, 3), np.uint8))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:5000])
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("cut.npz", "one.npy"):
        with pytest.raises(InputError, match="expected uint8 X_train and X_test"):
            cifar10.images(tmp_path / name)
    np.savez(tmp_path / "objects.npz", X_train=np.array([print], object))
    with pytest.raises(InputError, match="expected uint8 X_train and X_test"):  # never unpickled
        cifar10.images(tmp_path / "objects.npz")
    np.savez(tmp_path / "small.npz", X_train=np.zeros((10, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match=r"got uint8 \(10, 32, 32, 3\)"):
        cifar10.images(tmp_path / "small.npz")


def test_damaged_binaries_are_refused(pictures, tmp_path):
    train, test = pictures
    folder = tmp_path / cifar10.BINARIES
    write_binaries(folder, train[::-1], test)  # other images, the same labels: legal; other labels are not
    assert cifar10.images(folder).y[0] == 1
    batch = folder / "data_batch_1.bin"
    content = batch.read_bytes()
    batch.write_bytes(content[: cifar10.RECORD * 9] + content[cifar10.RECORD * 12 :])
    with pytest.raises(InputError, match="expected CIFAR-10's images in their own order"):
        cifar10.images(folder)
    batch.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"expected records of 3073 bytes in data_batch_1.bin, got \d+ bytes"):
        cifar10.images(folder)
    batch.write_bytes(content)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(InputError, match=r"expected test_batch\.bin"):
        cifar10.images(folder)


@real
def test_the_real_images_in_both_formats(tmp_path):
    task = cifar10.images(FOLDER)
    with np.load(FOLDER / cifar10.NPZ) as archive:
        raw = [archive["X_train"], archive["X_test"]]
    parts = []
    for split, pixels in zip(("train", "test"), raw):
        labels = cifar10.labels(split)[: 2000 if split == "train" else 1000]
        rows = [2 * int(np.sum(labels[:i] == c)) + int(c) for i, c in enumerate(labels)]
        parts.append(pixels[rows])
    write_binaries(tmp_path / cifar10.BINARIES, *parts, between=1)
    assert same(cifar10.images(tmp_path), task)


# --- what stays of them ---


@pytest.fixture
def small(rng):
    """A task of a few random inputs with the real labels."""
    X, X_test = rng.standard_normal((12, 30)) + 0.5, rng.standard_normal((40, 30))
    y, y_test = cifar10.labels("train")[:12].astype(float), cifar10.labels("test")[:40].astype(float)
    return cifar10.Task(X, y, X_test, y_test, "random")


def test_condensing_keeps_what_a_network_sees(small):
    """Inner products over N0, of the training inputs and of each test input with them and itself."""
    task = study.condensed(study.condense(small, 9), directions=7)

    def products(a, b):
        return a @ b.T / a.shape[1]

    X = small.X[:9]
    np.testing.assert_allclose(products(task.X, task.X), products(X, X), atol=1e-6)
    np.testing.assert_allclose(products(task.X_test, task.X), products(small.X_test, X), atol=1e-6)
    own = [np.sum(T.X_test**2, axis=1) / T.X_test.shape[1] for T in (task, small)]
    np.testing.assert_allclose(own[0], own[1], rtol=1e-6)
    np.testing.assert_array_equal(task.y, small.y[:9])
    assert task.X.shape == (9, 16)


@pytest.mark.parametrize("directions", [1, 50])
def test_condensing_changes_no_prediction(small, directions):
    network = ww.FullyConnected([40], "erf", weight_precisions=(1.7, 0.6), bias_variance=0.3)
    task = study.condensed(study.condense(small, 12), directions)
    scores = [
        ww.infer(network, T.X, T.y, temperature=0.05).score(T.X_test, T.y_test).total for T in (small, task)
    ]  # fmt: skip
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


@real
def test_the_embedded_facts_are_the_real_images():
    arrays = study.condense(cifar10.images(FOLDER))
    ours, embedded = study.condensed(arrays), study.condensed()
    for name in ("X", "X_test"):  # another LAPACK may turn a coordinate's sign
        np.testing.assert_allclose(np.abs(getattr(ours, name)), np.abs(getattr(embedded, name)), atol=2e-5)
    np.testing.assert_array_equal(ours.y_test, embedded.y_test)
    assert sum(a.nbytes for a in arrays.values()) < 250_000


# --- the study ---


def test_quick_samples_where_it_says(quick):
    found, asked = quick
    assert [(row.series, row.x) for row in found.rows] == [("T = 0.01", 50), ("T = 0.5", 50), ("T = 1", 50)]
    assert [(N, P, T) for N, P, T, _ in asked] == [(200, 50, 0.01), (200, 50, 0.5)]
    assert {type(sampler) for *_, sampler in asked} == {ww.CollapsedHMC}
    assert [row.sampled for row in found.rows] == [0.35, 0.35, None]
    assert found.rows[0].published_sampled == 0.33762696385383606
    assert found.notes[0].startswith("Theory: 3 of 3")
    assert found.notes[1].startswith("Infinite width: 0 of 3")
    assert len(study.figure(found).axes) == 2


def sampled(series, value, error):
    return Row(series, 50, "test error", 0.33, sampled=value, standard_error=error, rhat=1.0)


def test_the_bias_of_a_step_is_a_slope():
    """Two values: their difference over the step. Three on a line: its slope, better known than from any two."""
    exact, far = sampled("T = 0.01", 0.34, 0.003), sampled("Langevin, eta = 0.02", 0.36, 0.004)
    assert study.bias_slope([exact]) is None
    assert study.bias_slope([far]) is None
    assert study.bias_slope([exact, far]) == pytest.approx((1.0, 0.005 / 0.02))
    slope, error = study.bias_slope([exact, far, sampled("Langevin, eta = 0.01", 0.35, 0.001)])
    assert slope == pytest.approx(1.0)
    fit = np.polyfit([0, 0.02, 0.01], [0.34, 0.36, 0.35], 1, w=1 / np.array([0.003, 0.004, 0.001]), cov="unscaled")
    assert error == pytest.approx(math.sqrt(fit[1][0, 0]))
    assert error < 0.25


def test_the_cause_is_told_from_the_numbers():
    published = {"published_sampled": 0.338, "published_standard_error": 0.001}
    row = replace(sampled("T = 0.01", 0.339, 0.001), **published)
    (said,) = study._cause([row])
    assert "finds +2.73 % (z +9.0), 0.7 standard errors from the published value: finite width itself" in said
    (said,) = study._cause([replace(row, published_sampled=0.35)])
    assert "finite width, but not alone" in said
    (said,) = study._cause([replace(row, sampled=0.331)])
    assert "not seen without a step" in said
    assert list(study._cause([replace(row, rhat=1.2)])) == []
    *_, said = study._cause([row, sampled("Langevin, eta = 0.02", 0.379, 0.001)])
    assert "d ε_g/dη = 2 ± 0.071, which at the published step 0.001 is +0.61 ± 0.02 % of ε_g" in said


@real
@pytest.mark.slow
def test_full_meets_all_147_values_and_infinite_width_none():
    Unsampled.asked = []
    found = study.run(Unsampled(full=True, data=FOLDER))
    known = [row for row in found.rows if row.published is not None]
    assert len(known) == 147
    for row in known:
        assert row.theory == pytest.approx(row.published, rel=1e-5)
        assert row.infinite != pytest.approx(row.published, rel=1e-5)
    assert "147 of 147" in found.notes[0]
    assert "0 of 147" in found.notes[1]
    steps = [row.series for row in found.rows if row.published is None]
    assert steps == [f"Langevin, eta = {step:g}" for step in study.LANGEVIN]
    assert len(Unsampled.asked) == len(study.FULL) + len(steps)
    assert "d ε_g/dη = 1 ±" in found.notes[-1]


@pytest.mark.slow
def test_quick_as_published():
    """The sampled networks of T = 0.01 lie above theory, and where the published ones do."""
    cold, warm, _ = reproduce("baglioni2024").rows
    assert cold.rhat < 1.05
    assert cold.z > 5.0
    for row in (cold, warm):
        error = math.hypot(row.standard_error, row.published_standard_error)
        assert abs(row.sampled - row.published_sampled) < 4.0 * error
        assert row.standard_error < 0.004 * row.theory
