"""Networks: what they accept, what they become, and every refusal in the form expected / got."""

import dataclasses
import math

import numpy as np
import pytest

import widthwise as ww


@pytest.mark.parametrize("widths", [[200, 50], (200, 50), np.array([200, 50]), [200.0, np.int32(50)], iter([200, 50])])
def test_widths_in_any_form(widths):
    network = ww.FullyConnected(widths)
    assert network.widths == (200, 50)
    assert all(type(width) is int for width in network.widths)
    assert network.depth == 2


@pytest.mark.parametrize("widths", [7, 7.0, np.int64(7), np.array(7)])
def test_one_width_needs_no_list(widths):
    assert ww.FullyConnected(widths).widths == (7,)
    assert ww.PrecomputedKernel(widths).widths == (7,)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (2, (2.0,) * 3),
        (np.float32(0.5), (0.5,) * 3),
        (np.array(2.0), (2.0,) * 3),
        ([1, 2.0, np.int8(3)], (1.0, 2.0, 3.0)),
    ],
)
def test_weight_precisions(given, kept):
    network = ww.FullyConnected([5, 6], weight_precisions=given)
    assert network.weight_precisions == network.precisions == kept


@pytest.mark.parametrize(("given", "kept"), [(0, (0.0, 0.0)), (0.3, (0.3, 0.3)), ((0.0, 0.2), (0.0, 0.2))])
def test_bias_variances(given, kept):
    assert ww.FullyConnected([5, 6], bias_variance=given).bias_variances == kept


def test_networks_are_values():
    one, same = ww.FullyConnected([5], weight_precisions=1.0), ww.FullyConnected((5.0,), weight_precisions=(1, 1))
    assert one == same
    assert hash(one) == hash(same)
    assert one != ww.FullyConnected([5], "relu")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.widths = (6,)
    wider = dataclasses.replace(one, widths=[6])
    assert (wider.widths, wider.weight_precisions) == ((6,), (1.0, 1.0))


def test_names():
    assert ww.FullyConnected([5, 6], "relu").name == "relu network, hidden width 5-6"
    assert ww.PrecomputedKernel([5]).name == "precomputed kernel, width 5"
    assert ww.PrecomputedKernel([5]).depth == 1


BAD_WIDTHS = [
    [],
    0,
    -1,
    [5, 0],
    [2.5],
    [True],
    "200",
    ["5"],
    None,
    [None],
    [math.nan],
    [math.inf],
    [10**400],
    [[5]],
    [1j],
]
BAD_NUMBERS = [0.0, -1.0, math.nan, math.inf, "1", None, [1.0], [1.0, 2.0, 3.0], [1.0, 0.0], [1.0, None], True, 10**400]


@pytest.mark.parametrize("widths", BAD_WIDTHS, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("make", [ww.FullyConnected, ww.PrecomputedKernel])
def test_bad_widths(make, widths):
    with pytest.raises(ww.InputError, match=r"^widths: expected .*, got .+; pass e\.g\. \[200\]\.$"):
        make(widths)


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: str(value)[:12])
def test_bad_precisions(value):
    with pytest.raises(ww.InputError, match=r"^weight_precisions: expected .*, got .+"):
        ww.FullyConnected([5], weight_precisions=value)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, "0", None, [0.0, 0.0], []], ids=str)
def test_bad_biases(value):
    with pytest.raises(ww.InputError, match=r"^bias_variance: expected .*, got .+"):
        ww.FullyConnected([5], bias_variance=value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "rellu"}, r"unknown activation 'rellu': expected one of .*; did you mean 'relu'\?"),
        ({"activation": "zzz"}, r"unknown activation 'zzz': expected one of .*; choose one of these\."),
        ({"activation": 3}, r"activation: expected a name or an elementwise callable, got int; .*"),
        ({"closure": "nestd"}, r"unknown closure 'nestd': expected one of .*; did you mean 'nested'\?"),
        ({"closure": None}, r"unknown closure None: expected one of global, linearised, nested; .*"),
    ],
)
def test_unknown_names(arguments, message):
    with pytest.raises(ww.InputError, match=f"^{message}$"):
        ww.FullyConnected([5], **arguments)


def test_a_precomputed_kernel_has_one_width():
    with pytest.raises(ww.InputError, match=r"expected one width, got 2; .*last layer's width\.$"):
        ww.PrecomputedKernel([5, 6])
