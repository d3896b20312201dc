"""`bound`: what it prints and writes of a file and of an imported network, and how it refuses."""

import json
import sys

import numpy as np
import pytest

from widthwise import bound

P, N, FRESH = 120, 8, 300


@pytest.fixture
def arrays(rng):
    """A network of fixed features that overfits a little: its readout was trained on P examples."""
    W = rng.standard_normal((5, N))

    def sample(n):
        X = rng.standard_normal((n, 5))
        return np.tanh(X @ W), 0.3 + X[:, 0] + 0.7 * rng.standard_normal(n)

    features, targets = sample(P)
    A = np.column_stack([features, np.ones(P)])
    weights = np.linalg.lstsq(A, targets, rcond=None)[0]
    fresh, fresh_targets = sample(FRESH)
    return {
        "features": features, "targets": targets, "predictions": A @ weights, "fresh_features": fresh,
        "fresh_targets": fresh_targets, "fresh_predictions": np.column_stack([fresh, np.ones(FRESH)]) @ weights,
    }  # fmt: skip


def strict(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_it_writes_what_python_computes(arrays, call, here):
    np.savez(here / "f.npz", **arrays)
    status, out, err = call(
        "bound", "f.npz", "--frozen", "--ridge", 0.5, "--seed", 3, "--json", "b.json", "--figure", "b.png"
    )  # fmt: skip
    assert (status, err) == (0, "")
    F, y, f, *fresh = arrays.values()
    expected = bound.last_layer(F, y, f, fresh=tuple(fresh), trunk_trained=False, ridge=0.5, key=3)
    record = strict(here / "b.json")
    assert {name: record[name] for name in expected.records()} == json.loads(json.dumps(expected.records()))
    assert record["relative_gap"]["value"] == pytest.approx(
        (np.mean((fresh[1] - fresh[2]) ** 2) - np.mean((y - f) ** 2)) / np.var(y)
    )
    assert (record["status"], record["effective_size"], record["ridge"]) == (expected.status, N + 1, 0.5)
    curve = bound.gap_curve(fresh[0], fresh[1], ridge=0.5, key=3)
    assert record["curve"]["gap"] == pytest.approx(curve.gap)
    for part in (str(expected.relative_gap), str(expected.readout_bound.tau), "fixed beforehand", str(expected.status)):
        assert part in out
    assert max(map(len, out.splitlines()[:-2])) <= 100
    assert (here / "b.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in here.iterdir()) == ["b.json", "b.png", "f.npz"]


def test_a_trunk_is_trained_unless_told_otherwise(arrays, call, here):
    np.savez(here / "f.npz", **arrays)
    status, out, _ = call("bound", "f.npz", "--json", "b.json")
    assert status == 0
    record = strict(here / "b.json")
    assert (record["status"], record["readout_bound"]["status"]) == ("outside_assumption", "informative")
    assert (record["in_sample"], record["curve"]) == (None, None)
    assert "outside assumption" in out


@pytest.mark.parametrize("frozen", [True, False])
def test_without_fresh_examples(arrays, call, here, frozen):
    np.savez(here / "f.npz", **{name: a for name, a in arrays.items() if not name.startswith("fresh")})
    options = ["--frozen"] if frozen else []
    status, _, err = call("bound", "f.npz", *options, "--json", "b.json", "--figure", "b.svg")
    assert (status, err) == (0, "")
    record = strict(here / "b.json")
    assert record["gap"] is None
    assert (record["curve"] is not None) == (record["in_sample"] is not None) == frozen
    assert (here / "b.svg").read_bytes().lstrip().startswith(b"<?xml")


MODULE = """
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3), torch.nn.Tanh(),
                            torch.nn.Linear(3, 1))
number, squashed = 3, torch.nn.Sequential(model, torch.nn.Tanh())


class Zoo:
    inner = model


class Late(torch.nn.Module):
    def forward(self, x):
        import some_net_too  # only when it runs

        return model(x)


late = Late()
late.inner = model


def make():
    return model


def fails():
    raise RuntimeError("no weights here")


def leaves():
    raise SystemExit(3)
"""


@pytest.fixture
def network(here, rng):
    """A module in the current folder, with inputs for it."""
    pytest.importorskip("torch")
    (here / "some_net.py").write_text(MODULE)
    (here / "some_net_too.py").write_text("")
    (here / "broken_net.py").write_text("import no_such_package_anywhere")
    X, y = rng.standard_normal((90, 5)), rng.standard_normal(90)
    np.savez(here / "x.npz", X_train=X[:40], y_train=y[:40], X_test=X[40:], y_test=y[40:, None])
    np.savez(here / "pool.npz", X=X, y=y)
    yield X, y
    assert str(here) not in sys.path
    for name in ("some_net", "some_net_too", "broken_net"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["some_net:model", "some_net:make", "some_net:Zoo.inner", "some_net:late"])
def test_a_torch_module(name, network, call, here):
    status, out, err = call("bound", "x.npz", "--torch", name, "--json", "b.json")
    assert (status, err) == (0, "")
    X, y = network
    from some_net import model

    training, test = bound.fetch(model, X[:40]), bound.fetch(model, X[40:])
    expected = bound.last_layer(
        training.features, y[:40], training.predictions, fresh=(test.features, y[40:], test.predictions)
    )
    record = strict(here / "b.json")
    assert record["gap"] == expected.gap.records()
    assert (record["torch"], record["P"], record["features"]) == (name, 40, 3)
    assert f"{name}, x.npz" in out


def test_labels_are_asked_for_one_hot(network, call, here):
    X, _ = network
    np.savez(here / "x.npz", X=X, y=np.ones((90, 3)))
    refused(call, here, "x.npz", "--torch", "some_net:model", words="expected 1 columns of targets")


def test_without_torch_the_extra_is_named(network, call, here, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(call, here, "x.npz", "--torch", "some_net:model", words="pip install 'widthwise[torch]'")


def test_a_pool_has_no_fresh_examples(network, call, here):
    assert call("bound", "pool.npz", "--torch", "some_net:model", "--layer", "4", "--json", "b.json")[0] == 0
    record = strict(here / "b.json")
    assert (record["P"], record["readout_bound"], record["layer"]) == (90, None, "4")


BAD_NETWORKS = {
    "no object": ("some_net", [], "expected MODULE:OBJECT"),
    "no module": ("no_such_net:model", [], "No module named 'no_such_net'"),
    "broken module": ("broken_net:model", [], "no_such_package_anywhere"),
    "no such object": ("some_net:modle", [], "has no attribute 'modle'"),
    "not a network": ("some_net:number", [], "expected 'some_net:number' to be a torch.nn.Module"),
    "a failing function": ("some_net:fails", [], "no weights here"),
    "a script that exits": ("some_net:leaves", [], "got SystemExit: 3"),
    "something follows": ("some_net:squashed", [], "something after it"),
    "layer": ("some_net:model", ["--layer", "9"], "unknown layer '9'"),
    "not linear": ("some_net:model", ["--layer", "1"], "expected an nn.Linear"),
}


@pytest.mark.parametrize("case", BAD_NETWORKS)
def test_bad_networks_are_one_line(case, network, call, here):
    name, options, words = BAD_NETWORKS[case]
    refused(call, here, "x.npz", "--torch", name, *options, words=words)


def refused(call, here, *arguments, words):
    before = sorted(p.name for p in here.iterdir() if p.name != "__pycache__")
    status, out, err = call("bound", *arguments, "--json", "b.json", "--figure", "b.png")
    assert (status, out) == (2, ""), err
    assert err.startswith("widthwise: ")
    assert len(err.splitlines()) == 1
    assert words in err
    assert sorted(p.name for p in here.iterdir() if p.name != "__pycache__") == before


CHANGES = {
    "no predictions": ({"predictions": None}, "add predictions"),
    "no targets of fresh": ({"fresh_targets": None}, "fresh_features and fresh_targets together"),
    "shape": ({"targets": np.zeros(7) + 1}, "targets: expected one row per example (120), got 7"),
    "features": ({"features": np.ones((P, 2, 2))}, "features: expected shape"),
    "not finite": ({"targets": np.full(P, np.nan)}, "targets: expected finite numbers"),
    "other features": ({"fresh_features": np.ones((FRESH, 3))}, "expected 8 features as in training"),
    "text": ({"targets": np.array(["a"] * P)}, "targets: expected real numbers"),
    "objects": ({"targets": np.array([None] * P)}, "never unpickled"),
    "inputs": ({"features": None, "X": np.ones((P, 2))}, "name the network by --torch"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_bad_arrays_are_one_line(case, arrays, call, here):
    changes, words = CHANGES[case]
    np.savez(here / "f.npz", **{name: a for name, a in (arrays | changes).items() if a is not None})
    refused(call, here, "f.npz", words=words)


def test_bad_files_and_options(arrays, call, here):
    np.savez(here / "f.npz", **arrays)
    content = (here / "f.npz").read_bytes()
    (here / "half.npz").write_bytes(content[: len(content) // 2])
    (here / "text.npz").write_text("not an archive")
    np.save(here / "one.npy", arrays["features"])
    (here / "one.npz").write_bytes((here / "one.npy").read_bytes())
    for arguments, words in (
        (["none.npz"], "there is none"),
        (["f.csv"], "expected a .npz file"),
        (["half.npz"], "expected a complete npz file"),
        (["text.npz"], "never unpickled"),
        (["one.npz"], "a single array"),
        (["f.npz", "--layer", "fc"], "--layer: expected it with --torch only"),
        (["f.npz", "--ridge", "-1"], "ridge: expected a finite number"),
        (["f.npz", "--seed", "-1"], "--seed"),
        (["f.csv", "--torch", "a:b"], "expected a .npz file with --torch"),
    ):
        refused(call, here, *arguments, words=words)
    assert call("bound", "f.npz", "--json", "no/such/b.json")[0] == 2


def test_it_needs_neither_jax_nor_torch(arrays, here):
    import subprocess

    np.savez(here / "f.npz", **arrays)
    code = (
        "import sys; from widthwise.cli import run; assert run(['bound', 'f.npz']) == 0;"
        "sys.exit(any(name in sys.modules for name in ('jax', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=here).returncode == 0


@pytest.mark.parametrize("how", ["the same name", "another name", "a link", "a hard link"])
def test_what_is_read_is_not_written_over(arrays, call, here, how):
    np.savez(here / "f.npz", **arrays)
    before = (here / "f.npz").read_bytes()
    out = {"the same name": "f.npz", "another name": f"../{here.name}/f.npz"}.get(how, "g.npz")
    if how == "a link":
        (here / out).symlink_to("f.npz")
    elif how == "a hard link":
        (here / out).hardlink_to(here / "f.npz")
    status, _, err = call("bound", "f.npz", "--json", out)
    assert status == 2
    assert "--json: expected another file than the data are read from" in err
    assert (here / "f.npz").read_bytes() == before


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_number_is_cut_however_narrow(arrays, call, here, monkeypatch, width):
    from rich.console import Console

    np.savez(here / "f.npz", **arrays)
    monkeypatch.setattr("widthwise.cli.bound.console", lambda: Console(width=width))
    call("bound", "f.npz", "--json", "b.json")
    status, out, _ = call("bound", "f.npz")
    assert status == 0
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= width
    F, y, f, *fresh = arrays.values()
    report = bound.last_layer(F, y, f, fresh=tuple(fresh))
    cells = out[: out.index("network: outside")].replace("\n", " ")
    said = (report.generalisation_error, report.relative_gap, report.readout_bound.ratio, report.readout_bound.tau)
    for part in (*map(str, said), "outside assumption", "informative"):
        assert " ".join(part.split()) in " ".join(cells.split())
