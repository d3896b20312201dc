"""The published theory values of Baglioni et al., PRL 133, 027301 (2024): all of them, and none at infinite width.

Needs the CIFAR-10 files, which are not part of this repository: set WIDTHWISE_DATA to the folder that holds
baglioni2024.csv, cifar10_order.json and cifar10_airplane_automobile.npz.
"""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

import widthwise as ww

FOLDER = Path(os.environ.get("WIDTHWISE_DATA", Path(__file__).parents[3] / "shared" / "data"))
NEEDED = [FOLDER / name for name in ("baglioni2024.csv", "cifar10_order.json", "cifar10_airplane_automobile.npz")]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(path.is_file() for path in NEEDED), reason="the CIFAR-10 files are not here"),
]


def images(split, order):
    """The two classes in CIFAR's own order: grey, (x − 0.1307)/0.3081, labels 0 and 1."""
    key, count = {
        "train": ("train_labels_packbits_hex_first4000", 4000),
        "test": ("test_labels_packbits_hex_2000", 2000),
    }[split]
    labels = np.unpackbits(np.frombuffer(bytes.fromhex(order[key]), np.uint8))[:count]
    rank = np.where(labels == 1, np.cumsum(labels == 1), np.cumsum(labels == 0)) - 1
    with np.load(NEEDED[2]) as data:
        pixels = data[f"X_{split}"][2 * rank + labels]
    grey = pixels.reshape(count, -1, 3) / 255.0 @ [0.2989, 0.587, 0.114]
    return (grey - 0.1307) / 0.3081, labels.astype(float)


@pytest.fixture(scope="module")
def data():
    order = json.loads(NEEDED[1].read_text())
    (X, y), (X_test, y_test) = images("train", order), images("test", order)
    return X, y, X_test[:1000], y_test[:1000]


@pytest.fixture(scope="module")
def rows():
    with NEEDED[0].open() as file:
        return [{name: row[name] for name in ("P", "N1", "T", "theory_value")} for row in csv.DictReader(file)]


def test_all_147_values(data, rows):
    X, y, X_test, y_test = data
    assert len(rows) == 147
    for P in sorted({int(row["P"]) for row in rows}):
        prepared = ww.prepare(ww.FullyConnected([4 * P], "erf"), X[:P])
        at = prepared.at(X_test)
        for row in (row for row in rows if int(row["P"]) == P):
            T, published = float(row["T"]), float(row["theory_value"])
            posterior = ww.infer(prepared, y[:P], temperature=T, widths=[int(row["N1"])])
            assert posterior.score(at, y_test).total == pytest.approx(published, rel=1e-5)
            infinite = ww.infer(prepared, y[:P], temperature=T, approximation="infinite").score(at, y_test).total
            assert infinite != pytest.approx(published, rel=1e-5)
