"""A bias along the columns is refused where TensorFlow's modes differ, and nowhere else.

What TensorFlow does is asked of TensorFlow: if a test fails here after an update, it or Keras is
mended, or broken in another place.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from foldbn.errors import Unsupported
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import Layers
from tests import journeys
from tests.frontends.building import Model, chain, layer, make

FIRST = {"data_format": "channels_first"}
BIAS = np.arange(1, 5, dtype=np.float32)

# Each gives four channels and four columns, and a shape to build it on.
OF_KERAS = {
    "sequence": (layer("Conv1D", 4, 3, **FIRST), (3, 6)),
    "with an activation": (layer("Conv1D", 4, 3, activation="relu", **FIRST), (3, 6)),
    "with strides": (layer("Conv1D", 4, 3, strides=2, **FIRST), (3, 9)),
    "dilated": (layer("Conv1D", 4, 3, dilation_rate=2, **FIRST), (3, 8)),
    "in groups": (layer("Conv1D", 4, 3, groups=2, **FIRST), (4, 6)),
    "transposed": (layer("Conv1DTranspose", 4, 3, **FIRST), (3, 2)),
    "separable": (layer("SeparableConv1D", 4, 3, **FIRST), (3, 6)),
    "depthwise": (layer("DepthwiseConv1D", 3, **FIRST), (4, 6)),
    "image": (layer("Conv2D", 4, 3, **FIRST), (3, 7, 6)),
    "image, same": (layer("Conv2D", 4, 3, strides=2, padding="same", **FIRST), (3, 6, 8)),
    "image, dilated": (layer("Conv2D", 4, 3, dilation_rate=2, **FIRST), (3, 8, 8)),
    "image, in groups": (layer("Conv2D", 4, 3, groups=2, **FIRST), (4, 7, 6)),
    "image, transposed": (layer("Conv2DTranspose", 4, 3, **FIRST), (3, 4, 2)),
    "image, separable": (layer("SeparableConv2D", 4, 3, **FIRST), (3, 6, 6)),
    "image, depthwise": (layer("DepthwiseConv2D", 3, **FIRST), (4, 6, 6)),
    "volume": (layer("Conv3D", 4, 3, **FIRST), (3, 5, 6, 6)),
    "volume, in groups": (layer("Conv3D", 4, 3, groups=2, **FIRST), (4, 5, 6, 6)),
    "volume, transposed": (layer("Conv3DTranspose", 4, 3, **FIRST), (3, 4, 4, 2)),
}
TWO_WAYS_OF_KERAS = {"sequence", "with an activation", "with strides", "image", "image, same"}


@pytest.mark.parametrize("case", OF_KERAS)
def test_layers(case):
    """A layer is refused if, and only if, calling it and `predict` give different things."""
    build, shape = OF_KERAS[case]
    model = make(Model(chain(build), shape, ""))
    for variable in model.variables:
        if variable.path.endswith("bias"):
            variable.assign(BIAS)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    called = np.asarray(model(x))
    gap = np.abs(called - model.predict(x, verbose=0)).max()
    assert (gap > 1) == (case in TWO_WAYS_OF_KERAS)
    if case in TWO_WAYS_OF_KERAS:
        with pytest.raises(Unsupported, match="as many as its channels") as refused:
            journeys.of_keras(model)
        assert "channels_last" in refused.value.hint
    else:
        assert gap < 1e-4
        (single,) = journeys.of_keras(model).references()[0].single.values()
        assert single.shape[1:] == called.shape[1:]


raw, rng = tf.raw_ops, np.random.default_rng(0)
PLAIN, GROUPED, MULTIPLIED, DEEP = (
    tf.constant(rng.normal(size=shape), tf.float32)
    for shape in ((3, 3, 3, 4), (3, 3, 2, 4), (3, 3, 2, 2), (3, 3, 3, 3, 4))
)
PLANE, VOLUME = (3, 5, 4), (3, 5, 6, 4)
SAME = {"padding": "SAME", "data_format": "NCHW", "strides": [1] * 4}


def _conv(x, kernel=PLAIN, **options):
    return raw.Conv2D(input=x, filter=kernel, **SAME, **options)


def _depthwise(x):
    return raw.DepthwiseConv2dNative(input=x, filter=MULTIPLIED, **SAME)


def _of_volume(x):
    wide = {"padding": "SAME", "data_format": "NCDHW", "strides": [1] * 5}
    return raw.Conv3D(input=x, filter=DEEP, **wide)


def _transposed(x):
    sizes, kernel = [tf.shape(x)[0], 4, 5, 4], tf.transpose(PLAIN, [0, 1, 3, 2])
    return raw.Conv2DBackpropInput(input_sizes=sizes, filter=kernel, out_backprop=x, **SAME)


def _biased(x, bias=BIAS):
    return raw.BiasAdd(value=x, bias=bias)


def _squeezed(x, *axes):
    return _biased(raw.Squeeze(input=x, axis=list(axes)))


def _forked(x):
    y = _conv(x)
    return _biased(y), tf.tanh(y)


# Functions, and the shape of a sample that they take.
OPS = {
    "plain": (lambda x: _biased(_conv(x)), PLANE),
    "identity": (lambda x: _biased(tf.identity(_conv(x))), PLANE),
    "groups": (lambda x: _biased(_conv(x, GROUPED)), (4, 5, 4)),
    "dilated": (lambda x: _biased(_conv(x, dilations=[1, 1, 2, 2])), PLANE),
    "computed kernel": (lambda x: _biased(_conv(x, PLAIN * tf.reduce_max(x))), PLANE),
    "computed bias": (lambda x: _biased(_conv(x), BIAS * tf.reduce_max(x)), PLANE),
    "depthwise": (lambda x: _biased(_depthwise(x)), (2, 5, 4)),
    "volume": (lambda x: _biased(_of_volume(x)), VOLUME),
    "rows squeezed": (lambda x: _squeezed(_conv(x), 2), (3, 1, 4)),
    "rows squeezed from behind": (lambda x: _squeezed(_conv(x), -2), (3, 1, 4)),
    "all squeezed": (lambda x: _squeezed(_conv(x)), (3, 1, 4)),
    "columns squeezed": (lambda x: _squeezed(_conv(x), 3), (3, 4, 1)),
    "columns squeezed from behind": (lambda x: _squeezed(_conv(x), -1), (3, 4, 1)),
    "depthwise squeezed": (lambda x: _squeezed(_depthwise(x), 2), (2, 1, 4)),
    "volume squeezed": (lambda x: _squeezed(_of_volume(x), 2), (3, 1, 6, 4)),
    "rows of a volume squeezed": (lambda x: _squeezed(_of_volume(x), 3), (3, 5, 1, 4)),
    "columns of a volume squeezed": (lambda x: _squeezed(_of_volume(x), 4), (3, 5, 4, 1)),
    "two readers": (_forked, PLANE),
    "compiled": (lambda x: _biased(tf.function(_conv, jit_compile=True)(x)), PLANE),
    "activation between": (lambda x: _biased(tf.nn.relu(_conv(x))), PLANE),
    "addition": (lambda x: _conv(x) + BIAS, PLANE),
    "transposed": (lambda x: _biased(_transposed(x)), PLANE),
    "pool": (lambda x: _biased(raw.MaxPool(input=x, ksize=[1, 1, 2, 2], **SAME)), (4, 5, 4)),
    "more columns": (lambda x: _biased(_conv(x), np.arange(6, dtype=np.float32)), (3, 5, 6)),
    "one column": (lambda x: _biased(_conv(x), BIAS[:1]), (3, 5, 1)),
}

# As one op these do not run: it takes no such bias, and one way is left.
BROKEN = {"more columns", "one column"}
TWO_WAYS = {
    *("plain", "identity", "groups", "dilated", "computed kernel", "computed bias"),
    *("depthwise", "volume", "rows squeezed", "rows squeezed from behind", "all squeezed"),
    *("columns squeezed from behind", "volume squeezed", "rows of a volume squeezed"),
}


@pytest.mark.parametrize("case", OPS)
def test_ops(case):
    """A graph is refused if, and only if, it computes another thing than its ops one by one."""
    function, shape = OPS[case]
    x = tf.constant(np.random.default_rng(1).normal(size=(2, *shape)), tf.float32)
    whole = tf.function(function, input_signature=[tf.TensorSpec((None, *shape), name="x")])
    if case in BROKEN:
        with pytest.raises(tf.errors.OpError):
            whole(x)
    else:
        pairs = zip(tf.nest.flatten(function(x)), tf.nest.flatten(whole(x)), strict=True)
        gap = max(float(tf.reduce_max(tf.abs(a - b))) for a, b in pairs)
        assert (gap > 0.1) == (case in TWO_WAYS)
    concrete = whole.get_concrete_function()
    names = [f"y_{number}" for number, _ in enumerate(concrete.outputs)]
    if case in TWO_WAYS:
        with pytest.raises(Unsupported, match="along the columns"):
            freeze(concrete, ["x"], names, Layers())
    else:
        model = freeze(concrete, ["x"], names, Layers())
        assert not any("_foldbn" in name for node in model.graph_def.node for name in node.attr)
        assert journeys.of_frozen(model).max_rel() <= 1e-9
