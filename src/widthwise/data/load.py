"""From a name or a path to four checked arrays: read, select, choose, encode, standardise."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from widthwise.data import check
from widthwise.data import labels as label_rules
from widthwise.data.choose import choose, sizes
from widthwise.data.dataset import DataSet
from widthwise.data.files import read_file
from widthwise.data.sources import Source, by_name, looks_like_path
from widthwise.data.standardise import MODES as STANDARDISE
from widthwise.data.standardise import standardise as on_one_scale
from widthwise.errors import DataWarning, InputError, unknown_name


def load_data(
    name_or_path: str | os.PathLike[str] = "digits",
    *,
    classes: Any = None,
    train_size: int | None = None,
    test_size: int | None = None,
    target: str | None = None,
    labels: str = "auto",
    standardise: str = "global",
    seed: int = 0,
    flatten: bool = True,
) -> DataSet:
    """Real data, ready for `infer`: `X, y, X_test, y_test = load_data("digits", classes=(0, 1), train_size=200)`.

    Class labels become targets: of two classes ±1 (the class with the lower label is −1), of more one-hot columns in
    the order of the labels. Targets are class labels if they are text or at most 20 distinct whole numbers, and
    whenever `classes` is given; other targets are a regression's and stay in their own units. Inputs are standardised
    by the training set's numbers. The choice of examples is seeded and keeps the proportions of the classes; with one
    seed the test set does not depend on `train_size`. A source with its own test set is tested on that; of another a
    fifth is kept for testing unless sizes are given.

    Args:
        name_or_path: "digits" (embedded), "mnist", "fashion_mnist", "cifar10" or any OpenML name (downloaded once);
            or a file: .npz with X_train, y_train, X_test, y_test or X, y; .csv or .parquet with one column per feature.
        classes: which labels, and which of them together: (0, 1), "0,1", ((0, 2), (1, 3)), "0+2,1+3", or "parity".
        train_size: P, training examples.
        test_size: test examples.
        target: target column of a table; by default the one called target, y, label or class.
        labels: "auto", "sign" (±1), "onehot" or "raw" (targets as they are).
        standardise: "global" (one mean, one deviation), "feature" (one of each per feature) or "none".
        seed: of the choice of examples.
        flatten: images (n, H, W[, C]) become rows (n, H·W·C).

    Returns:
        A `DataSet`, which unpacks into X (P, N0), y (P,) or (P, D), X_test (n, N0), y_test: float64.

    Raises:
        InputError: an unknown name, an unreadable file, NaN or ±inf, shapes that do not match, one class only, more
            examples than there are. The message says what to do.

    Warns:
        DataWarning: all training targets, all inputs or a feature constant.
    """
    if labels not in label_rules.MODES:
        raise unknown_name("labels", labels, label_rules.MODES)
    if standardise not in STANDARDISE:
        raise unknown_name("standardise", standardise, STANDARDISE)
    seed = check.whole_number("seed", seed, at_least=0)
    source = _source(name_or_path, target)
    X, y, X_test, y_test = _checked(source)

    found = None
    codes, test_codes = np.zeros(len(y), dtype=int), None if y_test is None else np.zeros(len(y_test), dtype=int)
    if label_rules.are_classes(y, labels, classes):
        found = label_rules.find_classes(y, classes, source.class_names)
        codes = found.codes(y)
        if y_test is not None:
            test_codes = found.codes(y_test)
            if classes is None and (test_codes < 0).any():
                stray = y_test[test_codes < 0][0]
                raise InputError(f"y_test: expected labels that y_train has, got {stray!r}; name the classes to keep.")
    keep = np.flatnonzero(codes >= 0)
    keep_test = keep if test_codes is None else np.flatnonzero(test_codes >= 0)
    if len(keep_test) == 0:
        raise InputError("y_test: expected examples of the chosen classes, got none; choose other classes.")
    P, n = sizes(train_size, test_size, len(keep), None if test_codes is None else len(keep_test))
    chosen, chosen_test = choose(codes[keep], None if test_codes is None else test_codes[keep_test], P, n, seed)
    rows, test_rows = keep[chosen], keep_test[chosen_test]

    y_pool, codes_pool = (y, codes) if y_test is None or test_codes is None else (y_test, test_codes)
    if found is None or labels == "raw":
        written = "raw"
        targets, test_targets = _raw(y[rows]), _raw(y_pool[test_rows])
    else:
        targets, written = label_rules.encode(codes[rows], len(found.names), labels)
        test_targets, _ = label_rules.encode(codes_pool[test_rows], len(found.names), labels)
    X_pool = X if X_test is None else X_test
    inputs, test_inputs = on_one_scale(X[rows], X_pool[test_rows], standardise)
    if P > 1 and np.ptp(targets, axis=0).max() == 0:
        warnings.warn(f"y: every target is {targets.flat[0]:g}; there is nothing to learn.", DataWarning, stacklevel=2)
    if flatten:
        inputs, test_inputs = inputs.reshape(P, -1), test_inputs.reshape(n, -1)
    return DataSet(
        X=inputs,
        y=targets,
        X_test=test_inputs,
        y_test=test_targets,
        name=source.name,
        task="regression" if found is None else "classification",
        classes=() if found is None else found.names,
        labels=written,
        standardise=standardise,
        seed=seed,
        train_rows=rows,
        test_rows=test_rows,
    )


def _source(name_or_path: str | os.PathLike[str], target: str | None) -> Source:
    if isinstance(name_or_path, os.PathLike) or looks_like_path(str(name_or_path)):
        return read_file(name_or_path, target)
    if target is not None:
        raise InputError(
            f"target={target!r}: expected a table (.csv or .parquet) to take that column of, got {name_or_path!r}; "
            "leave target out."
        )
    return by_name(name_or_path)


def _checked(source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The source's arrays, each of them usable and all of them consistent."""
    if source.X_test is None or source.y_test is None:
        X, y = check.inputs("X", source.X), label_rules.read("y", source.y)
        check.same_length("X", X, "y", y)
        return X, y, None, None
    X, y = check.inputs("X_train", source.X), label_rules.read("y_train", source.y)
    check.same_length("X_train", X, "y_train", y)
    X_test, y_test = check.inputs("X_test", source.X_test), label_rules.read("y_test", source.y_test)
    check.same_length("X_test", X_test, "y_test", y_test)
    if X.shape[1:] != X_test.shape[1:]:
        raise InputError(
            f"X_test: expected examples of shape {X.shape[1:]} as in X_train, got {X_test.shape[1:]}; give the same."
        )
    if y.shape[1:] != y_test.shape[1:] or (y.dtype.kind == "U") != (y_test.dtype.kind == "U"):
        raise InputError(
            f"y_test: expected targets like y_train's ({y.dtype}, {y.shape[1:]}), got {y_test.dtype}, "
            f"{y_test.shape[1:]}; give the same kind."
        )
    return X, y, X_test, y_test


def _raw(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "U":
        raise InputError(f"labels='raw': expected numbers as targets, got text ({str(y[0])!r}); use labels='auto'.")
    return y.astype(np.float64)
