"""Labels: which examples belong to which class, and the targets that stand for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from widthwise.data import check
from widthwise.errors import InputError, unknown_name

MODES = ("auto", "sign", "onehot", "raw")
# Up to this many distinct whole numbers are class labels when nobody says otherwise; more are a quantity.
MOST_CLASSES = 20
_PARITY = ("parity", "odd-even", "even-odd")


@dataclass(frozen=True)
class Classes:
    """Groups of labels, each group one class.

    Args:
        groups: the labels of each class; classes in the order of their lowest label.
        names: each class in words, "0+2+4" for a group.
    """

    groups: tuple[tuple[Any, ...], ...]
    names: tuple[str, ...]

    def codes(self, labels: np.ndarray) -> np.ndarray:
        """The class of each label, 0 … C−1, and −1 where it belongs to none."""
        codes = np.full(len(labels), -1)
        for code, group in enumerate(self.groups):
            codes[np.isin(labels, np.array(group))] = code
        return codes


def read(name: str, y: np.ndarray) -> np.ndarray:
    """Targets as they came, tidied: strings of numbers become numbers, (n, 1) becomes (n,).

    Args:
        name: what to call them in the message.
        y: (n,) or (n, D), numbers or strings.

    Raises:
        InputError: another shape, a type that is neither number nor text, NaN or ±inf.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in (1, 2) or y.size == 0:
        raise InputError(f"{name}: expected targets of shape (examples,) or (examples, outputs), got {y.shape}.")
    if y.dtype.kind in "US":
        if y.ndim != 1:
            raise InputError(f"{name}: expected one label per example, got text of shape {y.shape}.")
        y = _numbers_if_all(np.char.strip(y.astype(str)))
    if y.dtype.kind in "bui":
        return y.astype(np.int64)
    if y.dtype.kind == "f":
        check.finite(name, y)
        return y.astype(np.float64)
    if y.dtype.kind == "U":
        return y
    raise InputError(f"{name}: expected numbers or text labels, got an array of {y.dtype}; convert it first.")


def _numbers_if_all(text: np.ndarray) -> np.ndarray:
    for kind in (np.int64, np.float64):
        try:
            return text.astype(kind)
        except (ValueError, OverflowError):
            continue
    return text


def are_classes(y: np.ndarray, mode: str, classes: object) -> bool:
    """Whether the targets are class labels: by order (`mode`, `classes`), else by what they look like.

    Text is; so are up to 20 distinct whole numbers. Fractions, several columns and more values are a quantity.
    """
    if mode in ("sign", "onehot") or classes is not None:
        if y.ndim == 2:
            raise InputError(
                f"labels: expected one label per example to make classes of, got targets of shape {y.shape}; "
                "use labels='raw' and no classes."
            )
        return True
    if mode == "raw" or y.ndim == 2:
        return False
    if y.dtype.kind == "U":
        return True
    values = np.unique(y)
    return len(values) <= MOST_CLASSES and bool((values == np.round(values)).all())


def find_classes(y: np.ndarray, wanted: Any, names: Mapping[str, Any] | None = None) -> Classes:
    """The classes that were asked for, matched with the labels that exist.

    Args:
        y: labels (n,).
        wanted: None (each label a class), "0,1", "0+2,1+3" ('+' joins labels into one class), "parity", or a
            sequence of labels or of sequences of labels.
        names: other names of the labels, such as "cat" for 3.

    Raises:
        InputError: a class that does not exist or is named twice, or fewer than two classes.
    """
    present = [value.item() for value in np.unique(y)]
    names = {} if names is None else dict(names)
    groups = _groups(wanted, present)
    found = [tuple(sorted({_match(label, present, names) for label in group})) for group in groups]
    everything = [label for group in found for label in group]
    if len(set(everything)) < len(everything):
        raise InputError(f"classes: expected each label in one class only, got {wanted!r}; name each label once.")
    if len(found) < 2:
        only = "+".join(_word(label) for label in everything)
        raise InputError(
            f"classes: expected at least two classes, got one ({only}); "
            "choose two or more, such as '0,1', or use labels='raw' for regression."
        )
    found.sort()
    words = {label: name for name, label in names.items()}
    return Classes(tuple(found), tuple("+".join(words.get(x, _word(x)) for x in group) for group in found))


def _groups(wanted: Any, present: list[Any]) -> list[list[Any]]:
    if wanted is None:
        return [[label] for label in present]
    if isinstance(wanted, str) and wanted.strip().lower() in _PARITY:
        if not all(isinstance(x, int | float) and x == round(x) for x in present):
            raise InputError(f"classes: {wanted!r} expects whole-number labels, got {present[0]!r}; name the classes.")
        return [group for r in (0, 1) if (group := [x for x in present if x % 2 == r])]
    if isinstance(wanted, str):
        groups: list[list[Any]] = [[x.strip() for x in part.split("+")] for part in wanted.split(",")]
    elif isinstance(wanted, Iterable):
        groups = [list(x) if isinstance(x, Iterable) and not isinstance(x, str) else [x] for x in wanted]
    else:
        groups = [[wanted]]
    if not groups or any(not group or "" in [str(x) for x in group] for group in groups):
        raise InputError(f"classes: expected labels such as '0,1' or '0+2,1+3', got {wanted!r}; leave none empty.")
    return groups


def _match(label: Any, present: list[Any], names: Mapping[str, Any]) -> Any:
    if str(label) in names:
        return names[str(label)]
    for value in present:
        if str(value) == str(label):
            return value
        if not isinstance(value, str):
            try:
                if float(label) == value:
                    return value
            except (TypeError, ValueError):
                continue
    raise unknown_name("class", str(label), [*(_word(x) for x in present), *names])


def _word(label: Any) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


def encode(codes: np.ndarray, count: int, mode: str) -> tuple[np.ndarray, str]:
    """Targets of class codes, and how they are written: ±1 for two classes (the first −1), else one column per class.

    Args:
        codes: 0 … count−1, (n,).
        count: number of classes.
        mode: "auto", "sign" or "onehot".
    """
    if mode == "sign" and count != 2:
        raise InputError(f"labels='sign': expected two classes, got {count}; choose two, or use labels='onehot'.")
    if mode == "onehot" or count > 2:
        return np.eye(count)[codes], "onehot"
    return 2.0 * codes - 1.0, "sign"
