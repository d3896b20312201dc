"""Which labels are classes, which classes there are, and what targets they become."""

import numpy as np
import pytest

from widthwise.data.labels import are_classes, encode, find_classes, read
from widthwise.errors import InputError

DIGITS = np.arange(10).repeat(3)


@pytest.mark.parametrize(
    ("wanted", "groups"),
    [
        (None, [(k,) for k in range(10)]),
        ("0,1", [(0,), (1,)]),
        ("1, 0", [(0,), (1,)]),
        ((8, 3), [(3,), (8,)]),
        (np.array([3, 8]), [(3,), (8,)]),
        ("0+2,1+3", [(0, 2), (1, 3)]),
        (((0, 2), (1, 3)), [(0, 2), (1, 3)]),
        ("9+1,4", [(1, 9), (4,)]),
        ("parity", [(0, 2, 4, 6, 8), (1, 3, 5, 7, 9)]),
        ("odd-even", [(0, 2, 4, 6, 8), (1, 3, 5, 7, 9)]),
    ],
)
def test_classes_are_found_and_ordered_by_their_lowest_label(wanted, groups):
    found = find_classes(DIGITS, wanted)
    assert list(found.groups) == groups
    assert found.names == tuple("+".join(map(str, group)) for group in groups)


def test_classes_of_text_labels():
    labels = np.array(["dog", "cat", "owl", "cat"])
    found = find_classes(labels, "dog,cat+owl")
    assert found.names == ("cat+owl", "dog")
    assert found.codes(labels).tolist() == [1, 0, 0, 0]


def test_classes_by_their_other_names():
    found = find_classes(DIGITS, "automobile,airplane", {"airplane": 0, "automobile": 1})
    assert found.groups == ((0,), (1,))
    assert found.names == ("airplane", "automobile")


def test_codes_leave_out_what_was_not_asked_for():
    assert find_classes(DIGITS, "2+4,3").codes(np.array([0, 2, 3, 4])).tolist() == [-1, 0, 1, 0]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("0,17", "unknown class '17'"),
        ("0,0", "one class only"),
        ("0+1,1", "one class only"),
        ("0", "at least two classes"),
        (0, "at least two classes"),
        ("0+1", "at least two classes"),
        ("", "leave none empty"),
        ("0,,1", "leave none empty"),
        ((), "leave none empty"),
    ],
)
def test_classes_that_cannot_be(wanted, words):
    with pytest.raises(InputError, match=words):
        find_classes(DIGITS, wanted)


def test_parity_needs_whole_numbers():
    with pytest.raises(InputError, match="whole-number"):
        find_classes(np.array(["a", "b"]), "parity")


def test_a_class_name_with_a_near_match():
    with pytest.raises(InputError, match="did you mean 'setosa'"):
        find_classes(np.array(["setosa", "virginica"]), "setsoa,virginica")


@pytest.mark.parametrize(
    ("y", "classes", "expected"),
    [
        (np.array(["a", "b"]), None, True),
        (np.array([0, 1]), None, True),
        (np.array([-1.0, 1.0]), None, True),
        (np.array([0.5, 1.0]), None, False),
        (np.arange(20), None, True),
        (np.arange(21), None, False),
        (np.arange(21), "0,1", True),
        (np.eye(3), None, False),
    ],
)
def test_what_are_class_labels(y, classes, expected):
    assert are_classes(y, "auto", classes) is expected
    if y.ndim == 1:
        assert are_classes(y, "sign", classes) is True
    assert are_classes(y, "raw", None) is False


def test_two_classes_become_signs_and_more_become_columns():
    codes = np.array([0, 1, 1])
    assert encode(codes, 2, "auto")[0].tolist() == [-1.0, 1.0, 1.0]
    assert encode(codes, 2, "onehot")[0].tolist() == [[1, 0], [0, 1], [0, 1]]
    targets, written = encode(np.array([2, 0]), 3, "auto")
    assert (targets.tolist(), written) == ([[0, 0, 1], [1, 0, 0]], "onehot")
    with pytest.raises(InputError, match="expected two classes, got 3"):
        encode(np.array([2, 0]), 3, "sign")


def test_targets_are_tidied():
    assert read("y", np.array([["1"], [" 2"]])).tolist() == [1, 2]
    assert read("y", np.array(["1.5", "2"])).dtype == np.float64
    assert read("y", np.array([True, False])).tolist() == [1, 0]
    assert read("y", np.array([b"a", b"b"])).tolist() == ["a", "b"]
    for bad in (np.array([1j]), np.zeros((2, 2, 2)), np.array(3), np.array([["a", "b"]]), np.zeros((0,))):
        with pytest.raises(InputError):
            read("y", bad)
    with pytest.raises(InputError, match=r"nan at index 1"):
        read("y", np.array([0.0, np.nan]))
