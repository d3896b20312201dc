"""One name for equal values, another for every different structure."""

import itertools
import os
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.store import fingerprint


@dataclass(frozen=True)
class Run:
    width: int
    temperature: float = 0.1
    seconds: float = field(default=0.0, init=False)


@dataclass(frozen=True)
class Walk:
    width: int
    temperature: float = 0.1


PINNED = {
    "nothing": ((), "3acdabed71e665d02644d2bbcb7f907937e8a315395b06c4fbe9be30a91d39e5"),
    "plain": (
        (None, True, -3, 2**70, 0.1, "π", b"\0"),
        "b89fcc8907b401ed225523a4159e07712b2983b3a112eccc329f00d61ec03414",
    ),
    "nested": (({"b": [1, (2.0,)], "a": Run(5)},), "c7d5f3ba1070fc1220119f5e76814c15aa2aac779dbaa0704f0ebff8a948acd8"),
    "arrays": (
        (np.arange(6.0).reshape(2, 3), np.array([True, False]), np.array("é")),
        "7d6b9bb82000d208e8fa689f49d268c1c12fb61ee8edbdaeccdf6afe24f4e2f9",
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_it_is_the_same_on_every_machine_and_in_every_release(name):
    things, expected = PINNED[name]
    assert fingerprint(*things) == expected


def test_the_encoding_is_the_one_that_the_docstring_says():
    def framed(tag, payload):
        return tag + struct.pack("<Q", len(payload)) + payload

    kept = framed(
        b"A", framed(b"S", b"<f8") + framed(b"L", framed(b"I", b"\2")) + sha256(struct.pack("<2d", 1, 2)).digest()
    )
    both = framed(b"I", b"\x80\0") + framed(b"L", framed(b"F", struct.pack("<d", 2.5)) + kept)
    assert fingerprint(128, [2.5, np.array([1.0, 2.0])]) == sha256(framed(b"L", both)).hexdigest()


def test_it_does_not_depend_on_the_process():
    code = "from widthwise.store import fingerprint; print(fingerprint({'b': 1, 'a': {'y': 2.5, 'x': 'é'}}, 'text'))"
    prints = {
        subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    }
    assert prints == {fingerprint({"a": {"x": "é", "y": 2.5}, "b": 1}, "text") + "\n"}


DIFFERENT = [
    *((), ((),), ((), ()), ((), ((),)), (((),), ()), ({},)),
    *((None,), (True,), (False,), (1,), (1.0,), ("1",), (b"1",), (0,), (-1,), (255,), (-256,), (65535,), (0.0,)),
    *(("ab",), ("a", "b"), ("a", "", "b"), ("", "ab"), ("ab", ""), (b"ab",), ("a", b"b"), (["a", "b"],), (["a"], "b")),
    *((1, 2), ((1, 2),), ((1,), 2), (1, (2,)), (12,), ([1, 2], []), ([1], [2])),
    *(({"a": "b"},), ({"b": "a"},), (["a", "b"], {}), ({"a": {"b": 1}},), ({"a": {}, "b": 1},), ({1: 2},), ({"1": 2},)),
    *((Run(5),), (Walk(5),), (Run(5, 0.2),), (Run(50),), ("Run", {"width": 5, "temperature": 0.1})),
    ({"width": 5, "temperature": 0.1},),
    *((0.1,), (np.nextafter(0.1, 1.0),), (float("inf"),), (float("-inf"),), (float("nan"),)),
    *(
        (np.zeros(6),),
        (np.zeros((2, 3)),),
        (np.zeros((3, 2)),),
        (np.zeros(6, np.float32),),
        (np.zeros(12, np.float32),),
    ),
    *((np.zeros(6, int),), (np.zeros((0, 3)),), (np.zeros((0, 2)),), (np.zeros(()),), (np.zeros(1),), ([0.0] * 6,)),
    (np.arange(6.0),),
]


def test_different_structures_have_different_names():
    prints = [fingerprint(*things) for things in DIFFERENT]
    clashes = [(a, b) for (a, x), (b, y) in itertools.combinations(zip(DIFFERENT, prints), 2) if x == y]
    assert clashes == []


def test_equal_values_have_one_name(rng):
    a = rng.normal(size=(4, 6))
    swapped = a.astype(">f8")
    later = Run(5)
    object.__setattr__(later, "seconds", 3.0)
    for one, other in [
        ([1, (2, 3)], (1, [2, 3])),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (0.0, -0.0),
        (float("nan"), -float("nan")),
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.int32(7), 7),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (a, np.asfortranarray(a)),
        (a[::2, ::-1], a[::2, ::-1].copy()),
        (a, swapped),
        (Run(5), later),
    ]:
        assert fingerprint(one) == fingerprint(other), (one, other)


@pytest.mark.parametrize("inside", [lambda x: x, lambda x: [1, x], lambda x: {"k": x}, lambda x: Run(x)])
@pytest.mark.parametrize("value", [len, {1, 2}, object(), 1j, Run, np.longdouble(1), np.datetime64("2024-01-01")])
def test_other_types_are_refused_by_name(value, inside):
    with pytest.raises(InputError, match=f"fingerprint: expected .*{type(value).__name__}"):
        fingerprint(inside(value))


@pytest.mark.parametrize("array", [np.array([None]), np.zeros(2, "f8,i4"), np.ma.masked_equal([1, 2], 1)])
def test_arrays_whose_bytes_do_not_say_everything_are_refused(array):
    with pytest.raises(InputError, match="expected an array of numbers, text or times"):
        fingerprint(array)
