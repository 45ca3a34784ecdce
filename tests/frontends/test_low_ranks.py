"""Ops on tensors of rank 0 and 1, such as shapes and lengths: none is taken for one on samples."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn import verification
from foldbn.frontends.frozen import FrozenModel, Port
from foldbn.verification.reference import in_float64
from tests import journeys

# Given TensorFlow, a vector of three numbers, and the first of them.
OPS = {
    "concat": lambda tf, v, _: tf.concat([v, v], 0),
    "stack": lambda tf, _, n: tf.stack([n, n]),
    "stack as columns": lambda tf, v, _: tf.stack([v, v], 1),
    "split": lambda tf, v, _: tf.split(v, 3)[1],
    "split in sizes": lambda tf, v, _: tf.split(v, [1, 2])[1],
    "unstack": lambda tf, v, _: tf.unstack(v, 3)[1],
    "tile": lambda tf, v, n: tf.tile(v, [2])[0] + tf.tile(n, []),
    "pad": lambda tf, v, n: tf.pad(v, [[1, 0]])[0] + tf.pad(n, np.zeros((0, 2), np.int32)),
    "mirror": lambda tf, v, n: (
        tf.pad(v, [[1, 0]], "REFLECT")[0] + tf.pad(n, np.zeros((0, 2), np.int32), "REFLECT")
    ),
    "transpose": lambda tf, v, n: (
        tf.raw_ops.Transpose(x=v, perm=np.zeros(1, np.int32))[0]
        + tf.raw_ops.Transpose(x=n, perm=np.zeros(0, np.int32))
    ),
    "reverse": lambda tf, v, n: tf.reverse(v, [0])[0] + tf.reverse(n, np.zeros(0, np.int32)),
    "roll": lambda tf, v, _: tf.roll(v, 1, 0),
    "slice": lambda tf, v, _: tf.slice(v, [1], [2]),
    "strided slice": lambda _, v, n: v[1:] + n[...],
    "gather": lambda tf, v, n: tf.gather(v, [2, 0])[0] + tf.gather(v, tf.cast(n, tf.int32) * 0),
    "expand": lambda _, v, n: v[:, None][0] + n[None],
    "squeeze": lambda tf, _, n: tf.squeeze(tf.reshape(n, [1, 1]), [0, 1]),
    "reshape": lambda tf, v, n: tf.reshape(v, [1, 3, 1])[0] + tf.reshape(n, []),
    "reduce": lambda tf, v, n: tf.reduce_prod(v) + tf.reduce_max(v, 0) + tf.reduce_max(n),
    "cumulated": lambda tf, v, _: tf.cumsum(v),
    "einsum": lambda tf, v, n: tf.einsum("a,a->", v, tf.cast([1, 2, 3], v.dtype)) + n,
    "arithmetic": lambda _, v, n: (v * 2 + [1, 2, 3] - n * [2]) * n,
    "extrema": lambda tf, v, n: tf.maximum(tf.minimum(v, n), 1),
}


@pytest.mark.parametrize("of", ["lengths", "means"])
@pytest.mark.parametrize("name", OPS)
def test_op_on_a_vector_and_a_number(name, of):
    """What is computed from lengths, or from numbers of the whole batch, is read as it is."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, (None, None, None, 3), name="x")
        vector = tf.shape(x)[1:] if of == "lengths" else tf.reduce_mean(x, axis=(0, 1, 2))
        found = tf.cast(OPS[name](tf, vector, vector[0]), tf.float32)
        kernel = np.float32([[1, -2], [3, 0.5], [-1, 2]])[None, None]
        y = tf.nn.conv2d(x * [2.0, -0.5, 3.0], kernel, 1, "VALID")
        tf.identity(y * tf.reduce_sum(found) * 2, name="y")
    inputs, outputs = (
        (Port(name, name, (None, None, None, channels), "float32"),)
        for name, channels in (("x", 3), ("y", 2))
    )
    journey = journeys.of_frozen(FrozenModel(graph.as_graph_def(), inputs, outputs))
    assert "folded" in journey.outcomes.values()
    # Means of a batch are no function of one sample: whole batches are computed, and compared.
    exact, folded = in_float64(journey.loaded.single), in_float64(journey.model)
    for samples in verification.generate_samples(inputs, 0):
        wanted, found = exact(samples)["y"], folded(samples)["y"]
        assert np.abs(wanted).max() > 0
        assert np.abs(found - wanted).max() <= 1e-9 * np.abs(wanted).max()
