"""Biases whose channel comes first, in TFLite, which has none."""

from __future__ import annotations

import numpy as np

from foldbn.export import to_tflite
from foldbn.frontends.frozen import FrozenModel, Port
from foldbn.verification.runtimes import load_artifact


def test_bias_of_a_constant():
    """TensorFlow names the constant of a bias after it, as the exporter would its own."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 2, 3, 4, 2], name="x")
        bias = np.array([1, -2], np.float32)
        tf.nn.bias_add(tf.tanh(x), bias, data_format="NCHW", name="y")
    ports = [Port(name, name, (None, 2, 3, 4, 2), "float32") for name in "xy"]
    model = FrozenModel(graph.as_graph_def(), (ports[0],), (ports[1],))
    values = np.random.default_rng(0).normal(size=(1, 2, 3, 4, 2)).astype(np.float32)
    (found,) = load_artifact(to_tflite(model), "", "").run({"x": values}).values()
    wanted = np.tanh(values) + bias.reshape(2, 1, 1, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
