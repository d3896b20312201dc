"""What `load_data` hands back: four arrays, and what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test examples, ready for inference: `X, y, X_test, y_test = data`.

    Args:
        X: training inputs (P, N0), standardised; (P, H, W[, C]) with `flatten=False`.
        y: training targets (P,), or (P, D) when one-hot or several columns.
        X_test: test inputs, standardised by the training set's numbers.
        y_test: test targets.
        name: the data set's name or its file.
        task: "classification" or "regression".
        classes: the classes in words, lowest label first; the first is −1 (or the first column). Empty for regression.
        labels: how the targets are written: "sign", "onehot" or "raw".
        standardise: "global", "feature" or "none".
        seed: of the choice of examples.
        train_rows: which rows of the source's training pool were chosen, (P,).
        test_rows: the same for the test examples, in the source's test set where it has its own, else in its one pool.
    """

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    name: str
    task: str
    classes: tuple[str, ...]
    labels: str
    standardise: str
    seed: int
    train_rows: np.ndarray
    test_rows: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.X, self.y, self.X_test, self.y_test))

    def describe(self) -> dict[str, Any]:
        """What the data are, as plain values: for records and tables."""
        return {
            "name": self.name,
            "task": self.task,
            "classes": list(self.classes),
            "labels": self.labels,
            "train_size": len(self.y),
            "test_size": len(self.y_test),
            "features": int(np.prod(self.X.shape[1:])),
            "standardise": self.standardise,
            "seed": self.seed,
        }
