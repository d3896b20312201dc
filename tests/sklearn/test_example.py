"""examples/uci.py runs on a folder of tables, and its splits are the customary ones."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "examples" / "uci.py"


@pytest.fixture
def uci(monkeypatch):
    spec = importlib.util.spec_from_file_location("uci", PATH)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "uci", module)  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    return module


def test_the_table_of_a_small_problem(uci, rng, tmp_path, monkeypatch):
    monkeypatch.setattr(uci, "INPUT_PRECISIONS", (0.3, 1.0))
    X = rng.normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "small.npz", X=X, y=100.0 + 30.0 * np.tanh(X[:, 0]) * X[:, 1])
    lines = uci.run(tmp_path, {"small": 2}).splitlines()
    rmse = {
        cells[2]: float(cells[3].split()[0]) for cells in ([c.strip() for c in line.split("|")] for line in lines[2:])
    }
    assert set(rmse) == set(uci.MODELS)
    assert max(rmse["finite width"], rmse["infinite width"]) < 0.6 * rmse["BayesianRidge"]


def test_splits_are_the_customary_ones(uci):
    random = np.random.RandomState(1)
    for train, test in uci.splits(31, 3):
        order = random.choice(range(31), 31, replace=False)
        np.testing.assert_array_equal(np.r_[train, test], order)
        assert len(train) == 28
