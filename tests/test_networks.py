"""Networks: what they accept, what they become, and every refusal in the form expected / got."""

import dataclasses
import math

import jax
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


PLACES = [
    # image, patch, stride
    ((6, 6), (3, 3), None),
    ((7, 5), (3, 2), (2, 1)),
    ((8, 8), (3, 3), (2, 2)),
    ((5, 9), (1, 4), (3, 3)),
    ((4, 4), (4, 4), (1, 1)),
    ((3, 10), (2, 5), (1, 4)),
]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("image", "patch", "stride"), PLACES)
def test_patches_lie_where_a_convolution_puts_them(image, patch, stride, padding):
    network = ww.Convolutional(3, patch, stride, padding=padding)
    place = network.patches(*image)
    strides = network.stride
    shape = jax.eval_shape(
        lambda X, W: jax.lax.conv_general_dilated(X, W, strides, padding.upper()),
        jax.ShapeDtypeStruct((1, 1, *image), np.float32),
        jax.ShapeDtypeStruct((1, 1, *patch), np.float32),
    ).shape
    assert place.grid == shape[2:]
    assert place.count == math.prod(shape)
    pads = jax.lax.padtype_to_pads(image, patch, strides, padding.upper())
    assert place.before == tuple(before for before, _ in pads)
    assert place.after == tuple(after for _, after in pads)


def test_same_takes_a_patch_larger_than_the_image():
    place = ww.Convolutional(3, (5, 7), (2, 2), padding="same").patches(3, 4)
    assert (place.grid, place.before, place.after) == ((2, 2), (2, 2), (2, 3))


@pytest.mark.parametrize("image", [(3, 9), (9, 3)])
def test_a_patch_larger_than_the_image_is_refused(image):
    with pytest.raises(
        ww.InputError, match=r"^patch: expected at most the image's .x., got 4x4; .*padding=\"same\"\.$"
    ):
        ww.Convolutional(3, 4).patches(*image)


def test_a_convolutional_network_is_a_value():
    one = ww.Convolutional(np.int64(64), 4, activation="linear", weight_precisions=2, bias_variance=0.1)
    same = ww.Convolutional([64.0], (4, 4), (4, 4), "linear", weight_precisions=(2.0, 2.0), bias_variance=[0.1])
    assert one == same
    assert hash(one) == hash(same)
    assert (one.channels, one.patch, one.stride) == (64, (4, 4), (4, 4))
    assert (one.depth, one.widths, one.precisions, one.bias_variances) == (1, (64,), (2.0, 2.0), (0.1,))
    wider = dataclasses.replace(one, channels=7)
    assert (wider.channels, wider.stride) == (7, (4, 4))
    assert ww.Convolutional(5, (2, 3), [1, 2]).name == "erf convolutional network, 5 channels on 2x3 patches"
    assert ww.Convolutional(5, 2, readout="average").name.endswith(", average-pooled")


def test_several_convolutional_layers():
    two = ww.Convolutional((3, 2), 2, ((1, 1), (2, 1)), weight_precisions=(1, 2, 3), bias_variance=(0.1, 0.2))
    assert (two.depth, two.widths, two.channels) == (2, (3, 2), (3, 2))
    assert (two.patch, two.stride) == ((2, 2), ((1, 1), (2, 1)))
    assert (two.precisions, two.bias_variances) == ((1.0, 2.0, 3.0), (0.1, 0.2))
    assert two == ww.Convolutional(
        [3, 2], np.array([[2, 2]] * 2), [1, (2, 1)], "erf", "valid", "dense", (1, 2, 3), [0.1, 0.2]
    )
    assert hash(two) == hash(dataclasses.replace(two))
    own = ww.Convolutional((3, 2, 4), ((3, 2), 1, (2, 2)))
    assert (own.patch, own.stride) == (((3, 2), (1, 1), (2, 2)),) * 2
    assert own.name == "erf convolutional network, 3-2-4 channels on 3x2, 1x1, 2x2 patches"


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("image", "patch", "stride"),
    [((9, 7), ((3, 2), (2, 2)), 1), ((9, 8), 2, ((2, 1), (1, 2), (3, 1))), ((8, 9), ((3, 3), (2, 1), (1, 2)), None)],
)
def test_a_stack_lies_where_convolution_after_convolution_puts_it(image, patch, stride, padding):
    L = len(patch) if isinstance(patch, tuple) else 3
    network = ww.Convolutional((4,) * L, patch, stride, padding=padding)
    places = network.stack(*image)
    assert places[0] == network.patches(*image)
    below, kept = image, []
    for place in places:
        shape = jax.eval_shape(
            lambda X, W, strides=place.stride: jax.lax.conv_general_dilated(X, W, strides, padding.upper()),
            jax.ShapeDtypeStruct((1, 1, *below), np.float32),
            jax.ShapeDtypeStruct((1, 1, *place.patch), np.float32),
        ).shape
        assert (place.image, place.grid) == (below, shape[2:])
        pads = jax.lax.padtype_to_pads(below, place.patch, place.stride, padding.upper())
        assert place.before == tuple(before for before, _ in pads)
        below = shape[2:]
        kept.append((place.patch, place.stride))
    assert len(kept) == L
    if stride is None:
        assert all(one == other for one, other in kept)


def test_a_patch_larger_than_the_grid_below_it_is_refused():
    with pytest.raises(ww.InputError, match=r"^patch of layer 2: expected at most the grid below's 2x2, got 3x3; "):
        ww.Convolutional((4, 4), 3).stack(6, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, r"channels: expected whole numbers of at least 1, got 0; pass e\.g\. 64\."),
        ({"channels": "64"}, r"channels: expected one whole number or one per layer, got '64'; .*"),
        ({"channels": []}, r"channels: expected one whole number or one per layer, got \[\]; .*"),
        ({"channels": (8, 0)}, r"channels: expected whole numbers of at least 1, got 0; .*"),
        ({"patch": (3, 0)}, r"patch: expected whole numbers of at least 1, got 0; pass e\.g\. \(4, 4\)\."),
        ({"patch": (3, 3, 3)}, r"patch: expected one whole number or two, .*, got 3; .*"),
        ({"patch": None}, r"patch: expected one whole number or two, .*, got None; .*"),
        ({"patch": ((3, 3), (2, 2))}, r"patch: expected one pair or 1 of them, got 2; there are 1 such layers .*"),
        ({"channels": (8, 8, 8), "stride": ((3, 3), 2)}, r"stride: expected one pair or 3 of them, got 2; .*"),
        ({"channels": (8, 8), "patch": ((3, 3), (2, 2, 2))}, r"patch: expected one whole number or two, .*, got 3; .*"),
        ({"channels": (8, 8), "patch": ((3, 3), "2")}, r"patch: expected one whole number or two, .*, got '2'; .*"),
        ({"stride": 0.5}, r"stride: expected whole numbers of at least 1, got 0\.5; .*"),
        ({"stride": []}, r"stride: expected one whole number or two, .*, got \[\]; .*"),
        ({"padding": "smae"}, r"unknown padding 'smae': expected one of same, valid; did you mean 'same'\?"),
        ({"readout": "mean"}, r"unknown readout 'mean': expected one of average, dense; .*"),
        ({"activation": "rellu"}, r"unknown activation 'rellu': .*"),
        ({"weight_precisions": (1, 1, 1)}, r"weight_precisions: expected one number or 2 of them, got 3; .*"),
        ({"weight_precisions": 0}, r"weight_precisions: expected finite numbers of more than zero, got 0\."),
        ({"bias_variance": -1}, r"bias_variance: expected finite numbers of zero or more, got -1\."),
    ],
)
def test_bad_convolutional_networks(arguments, message):
    with pytest.raises(ww.InputError, match=f"^{message}$"):
        ww.Convolutional(**({"channels": 8, "patch": 3} | arguments))
