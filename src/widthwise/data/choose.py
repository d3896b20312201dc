"""Which examples: a seeded choice, stratified over the classes, with no example in both sets."""

from __future__ import annotations

import numpy as np

from widthwise.data.check import whole_number
from widthwise.errors import InputError

# Of a source without its own test set, when no sizes are given.
TEST_FRACTION = 0.2


def sizes(train: object, test: object, pool: int, test_pool: int | None) -> tuple[int, int]:
    """How many training and test examples, checked against how many there are.

    A source with its own test set gives all it has unless told otherwise; of one pool, what is not asked for is the
    other set, and without any number a fifth is for testing.

    Args:
        train: number asked for, or None.
        test: number asked for, or None.
        pool: examples to choose the training set from.
        test_pool: examples of the source's own test set, None where it has none.
    """
    P = None if train is None else whole_number("train_size", train, at_least=1)
    n = None if test is None else whole_number("test_size", test, at_least=1)
    if test_pool is not None:
        P, n = pool if P is None else P, test_pool if n is None else n
        _enough("train_size", P, pool)
        _enough("test_size", n, test_pool)
        return P, n
    _enough("train_size", P or 0, pool - (n or 1))
    if P is None:
        n = max(1, round(TEST_FRACTION * pool)) if n is None else n
        P = pool - n
    elif n is None:
        n = pool - P
    if P < 1 or n < 1:
        raise InputError(
            f"train_size + test_size: expected at least one example of each from {pool} (all there are), "
            f"got {max(P, 0)} + {n}; ask for fewer."
        )
    return P, n


def _enough(name: str, wanted: int, there: int) -> None:
    if wanted > there:
        raise InputError(f"{name}: expected at most {there} (all that are there for it), got {wanted}; ask for fewer.")


def choose(
    codes: np.ndarray, test_codes: np.ndarray | None, P: int, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training and of the test examples, the classes in the proportions of the pool.

    Each class is shuffled; the training set is taken from the front and the test set from the back, so that with one
    seed the test set does not depend on how many training examples are asked for.

    Args:
        codes: class of each example of the pool, (pool,); all zero when there are no classes.
        test_codes: the same for the source's own test set, None where it has none.
        P: training examples.
        n: test examples.
        seed: of the shuffles.
    """
    rng = np.random.default_rng(seed)
    by_class = _shuffled(codes, rng)
    counts = np.array([len(rows) for rows in by_class])
    if test_codes is None:
        kept_for_training = 1 if len(counts) <= P else 0
        test = _share(n, counts, counts - kept_for_training)
        train = _share(P, counts, counts - test)
        test_rows = np.concatenate([rows[len(rows) - k :] for rows, k in zip(by_class, test, strict=True)])
    else:
        train = _share(P, counts, counts)
        own = _shuffled(test_codes, rng)
        own_counts = np.array([len(rows) for rows in own])
        test_rows = np.concatenate([r[:k] for r, k in zip(own, _share(n, own_counts, own_counts), strict=True)])
    train_rows = np.concatenate([rows[:k] for rows, k in zip(by_class, train, strict=True)])
    return np.random.default_rng([seed, 1]).permutation(train_rows), np.random.default_rng([seed, 2]).permutation(
        test_rows
    )


def _shuffled(codes: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.permutation(np.flatnonzero(codes == code)) for code in np.unique(codes)]


def _share(total: int, weights: np.ndarray, room: np.ndarray) -> np.ndarray:
    """`total` places over the classes in proportion to `weights`, at most `room` each, one at least where they suffice.

    Largest remainders; what does not fit into one class goes to those with room.
    """
    ideal = total * weights / weights.sum()
    least = np.minimum(1 if total >= len(weights) else 0, room)
    given = np.clip(np.floor(ideal).astype(int), least, room)
    while given.sum() < total:
        open_ = given < room
        given[np.argmax(np.where(open_, ideal - given, -np.inf))] += 1
    while given.sum() > total:
        spare = given > least
        given[np.argmin(np.where(spare, ideal - given, np.inf))] -= 1
    return given
