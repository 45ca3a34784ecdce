"""A convolution has one bias in ONNX."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.export import to_onnx
from foldbn.export.onnx_biases import with_plain_biases
from foldbn.frontends.frozen import FrozenModel, Port


@pytest.mark.parametrize(
    ("orders", "kinds"),
    [
        (("NHWC", "NHWC"), ["BiasAdd"]),
        (("NCHW", "NCHW"), ["BiasAdd"]),
        (("NHWC", "NHWC", "NHWC"), ["BiasAdd", "AddV2"]),
    ],
    ids=str,
)
def test_biases_of_a_convolution(orders, kinds):
    """The first bias along the channel stays what it is, and a second becomes an addition."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (None, 4, 4, 4), name="x")
        kernel = np.ones((1, 1, 4, 4), np.float32)
        y = tf.nn.conv2d(x, kernel, 1, "VALID", data_format=orders[0])
        for order in orders[1:]:
            y = tf.nn.bias_add(y, np.ones(4, np.float32), data_format=order)
        tf.identity(y, name="y")
    ports = [(Port(n, n, (None, 4, 4, 4), "float32"),) for n in "xy"]
    plain = with_plain_biases(FrozenModel(graph.as_graph_def(), *ports))
    found = [node.op for node in plain.graph_def.node if node.op in ("BiasAdd", "AddV2")]
    assert found == kinds
    assert to_onnx(plain)
