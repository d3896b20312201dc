"""examples/last_layer.py writes what `bound.last_layer` reads."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from widthwise.bound import last_layer

EXAMPLE = Path(__file__).parents[2] / "examples" / "last_layer.py"


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_network_is_above_the_bound_and_its_refit_is_not(shuffled, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("last_layer_example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    path = tmp_path / "features.npz"
    options = ["--shuffled"] if shuffled else []
    monkeypatch.setattr(sys, "argv", ["last_layer.py", "--write", str(path), *options])
    example.main()
    with np.load(path) as file:
        training, fresh = (
            [file[start + name] for name in ("features", "targets", "predictions")] for start in ("", "fresh_")
        )
    report = last_layer(*training, fresh=fresh)
    assert (report.status, report.holds) == ("outside_assumption", False)
    assert report.readout_bound.holds is not False
    assert report.readout_bound.relative_gap.value < report.relative_gap.value / 4
