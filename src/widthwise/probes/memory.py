"""How well a fit learns labels from which everything but chance was taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from widthwise import checks
from widthwise.bound.measurement import Measurement
from widthwise.bound.predictors import Fitter, predictions
from widthwise.errors import InputError


def shuffled_r2(fit: Any, X: Any, y: Any, *, repeats: int = 3, key: int = 0) -> Measurement:
    """How much of permuted labels a fit follows: 1 by rote, 0 where there is nothing to learn.

        R² = 1 − ε_t/T_y,  ε_t of a fit to y permuted over the examples     [Zhang et al. 2017, arXiv 1611.03530]

    T_y is the labels' power about their mean, so that their mean alone scores 0. A least-squares fit of p columns has
    p/P on average, or (p − 1)/(P − 1) with a constant among them.

    Args:
        fit: fit(X, y) → predictor, or a scikit-learn regressor, as in `ww.memorisation`; always fitted cold.
        X: inputs (P, …), handed to `fit` as they are.
        y: labels (P,) or (P, D); an example's D labels stay together.
        repeats: permutations, each with its own fit.
        key: of the permutations. More repeats keep the first ones.

    Returns:
        A `Measurement`: the mean over the permutations and its error, NaN of one.

    Raises:
        InputError: what does not fit or predict, shapes, numbers that are not finite; labels all the same.
    """
    P = len(X) if hasattr(X, "__len__") else len(np.atleast_1d(y))
    repeats, key = checks.whole("repeats", repeats, 1), checks.whole("key", key, 0)
    Y = checks.columns(y, P, "y")
    power = float(np.mean(np.sum((Y - Y.mean(axis=0)) ** 2, axis=1)))
    if power <= (1e-14 * float(np.abs(Y).max())) ** 2:
        raise InputError("y: expected labels that vary, got all the same; permuting them changes nothing.")
    train, D = Fitter.of(fit, X, np.shape(y)), Y.shape[1]
    each = np.empty(repeats)
    for r in range(repeats):
        shuffled = Y[np.random.default_rng([key, r]).permutation(P)]
        f = predictions(train(shuffled), X, P, D, "of a fit to permuted labels")
        each[r] = 1.0 - float(np.mean(np.sum((shuffled - f) ** 2, axis=1))) / power
    return Measurement.of_mean(each)
