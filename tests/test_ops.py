"""Ops as values: what a convolution knows of its geometry, and what ops are called."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldbn import ops
from foldbn.affine import Affine
from tests import reference


def conv(window, **attributes):
    """Make a convolution of one channel."""
    one = (1,) * len(window)
    return ops.Conv(np.ones((*window, 1, 1)), **{"strides": one, "dilations": one, **attributes})


def test_geometry_channels_last():
    """The channel comes last, unless told otherwise."""
    op = conv((3, 2))
    assert (op.window, op.rank, op.channel_axis, op.spatial_axes) == ((3, 2), 3, 2, (0, 1))


def test_geometry_channels_first():
    """The channel is the sample's first axis."""
    op = conv((3, 2), channels_first=True)
    assert (op.rank, op.channel_axis, op.spatial_axes) == (3, 0, (1, 2))


# ceil(n/s) windows of (k-1)*d+1, s apart, on n pixels
@pytest.mark.parametrize(
    ("size", "window", "stride", "dilation", "pads"),
    [
        (5, 1, 1, 1, False),
        (5, 3, 1, 1, True),
        (1, 1, 2, 1, False),
        (1, 2, 2, 1, True),
        (4, 2, 2, 1, False),
        (5, 2, 2, 1, True),
        (4, 3, 2, 1, True),
        (6, 3, 3, 1, False),
        (5, 2, 3, 1, False),
        (4, 2, 3, 1, True),
        (4, 2, 2, 2, True),
        (6, 2, 3, 2, False),
        (7, 1, 3, 1, False),
    ],
)
def test_same_pads(size, window, stride, dilation, pads):
    """``same`` pads what its last window lacks, which may be nothing."""
    numbers = {"strides": (stride,), "dilations": (dilation,), "input_size": (size,)}
    assert conv((window,), padding="same", **numbers).pads is pads


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(*[st.integers(1, n) for n in (9, 4, 3, 2)])
def test_same_pads_where_a_window_meets_zeros(size, window, stride, dilation):
    """It pads if and only if some window of ones over ones sums to less than its length."""
    numbers = {"strides": (stride,), "dilations": (dilation,), "input_size": (size,)}
    op = conv((window,), padding="same", **numbers)
    sums = reference.apply(op, np.ones((1, size, 1)))
    assert op.pads is bool(sums.min() < window)


@pytest.mark.parametrize(
    ("attributes", "pads"),
    [
        ({"padding": "valid"}, False),
        ({"padding": "same"}, None),
        ({"padding": "same", "input_size": (4, None)}, None),
        ({"padding": "same", "input_size": (4, 4)}, True),
        ({"padding": ((0, 0), (0, 0))}, False),
        ({"padding": ((0, 0), (0, 1))}, True),
        ({"padding": ((1, 0), (0, 0))}, True),
    ],
)
def test_pads(attributes, pads):
    """Padding is nothing, something, or not known because the size is not."""
    assert conv((3, 1), **attributes).pads is pads


def test_a_window_of_one_pads_nothing_of_any_size():
    """One pixel reaches no border, however large the image."""
    assert conv((1, 1), padding="same", input_size=(None, None)).pads is False


@pytest.mark.parametrize(
    ("op", "title"),
    [
        (ops.Opaque("Softmax"), "Softmax"),
        (ops.ShapeOf(), "ShapeOf"),
        (ops.AffineOp(Affine.of(1, 0, 1)), "affine layer"),
        (conv((1,)), "Conv"),
        (ops.identity("Dropout"), "Dropout"),
        (ops.relu(), "ReLU"),
        (ops.relu("PReLU"), "PReLU"),
        (ops.zero_pad((0,)), "zero padding"),
        (ops.GlobalPool("mean", (0,), keepdims=True), "GlobalAveragePooling"),
        (ops.GlobalPool("max", (0,), keepdims=True), "GlobalMaxPooling"),
        (ops.Reshape((4,), (2, 2)), "Reshape"),
    ],
)
def test_title(op, title):
    """An op is called what a person calls it."""
    assert op.title == title
