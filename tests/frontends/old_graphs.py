"""Graphs as TensorFlow 1 built them, saved as SavedModels of version 1.

Every entry of `GRAPHS` builds inside a graph and session of its own, and returns what it feeds and
fetches. Normalizations are drawn at random, negative and zero scales included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(3)
Tensors = dict[str, Any]


class OldGraph(NamedTuple):
    """How to build a graph, its samples, and the normalizations that are to be found in it.

    ``build(v1, get)`` gets ``tf.compat.v1`` and a function that makes a variable of random numbers.
    It returns inputs, outputs, and what the framework itself has to be fed besides.
    """

    build: Callable[[Any, Callable[..., Any]], tuple[Tensors, Tensors, Tensors]]
    samples: dict[str, np.ndarray]
    folded: tuple[str, ...]


class Saved(NamedTuple):
    """A SavedModel, and what TensorFlow 1 computes for the samples."""

    path: Path
    samples: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


@contextmanager
def old_control_flow() -> Iterator[None]:
    """Let conditionals be Switch and Merge, and loops Enter and Exit."""
    from tensorflow.python.ops import control_flow_util

    before = control_flow_util.ENABLE_CONTROL_FLOW_V2
    control_flow_util.ENABLE_CONTROL_FLOW_V2 = False
    try:
        yield
    finally:
        control_flow_util.ENABLE_CONTROL_FLOW_V2 = before


def save(graph: OldGraph, path: Path, *, resources: bool = False) -> Saved:
    """Build a graph, save it with one signature, and run it in its own session.

    Args:
        graph: what to build.
        path: where to.
        resources: whether variables are resources, as since TensorFlow 1.11 they can be.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with old_control_flow(), tf.Graph().as_default(), v1.Session() as session:

        def get(name: str, shape: list[int], **options: Any) -> Any:
            initializer = v1.constant_initializer(_draw(name, shape))
            options = {"initializer": initializer, "use_resource": resources} | options
            return v1.get_variable(name, shape, **options)

        inputs, outputs, phase = graph.build(v1, get)
        session.run(v1.global_variables_initializer())
        feed = {inputs[name]: array for name, array in graph.samples.items()}
        found = session.run(outputs, feed | phase)
        builder = v1.saved_model.builder.SavedModelBuilder(str(path))
        signature = v1.saved_model.predict_signature_def(inputs, outputs)
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return Saved(path, graph.samples, found)


def _draw(name: str, shape: list[int]) -> np.ndarray:
    rng = np.random.default_rng(len(name))
    if name.endswith("gamma"):
        scale = rng.uniform(0.5, 1.5, shape)
        scale[0], scale[-1] = -0.7, 0
        return scale
    if name.endswith("variance"):
        return rng.uniform(0.2, 2, shape)
    return rng.normal(size=shape)


def norm(v1: Any, get: Any, x: Any, training: Any, name: str) -> Any:
    """Normalize as tf.layers did: both ways, and a conditional that chooses the statistics."""
    import tensorflow as tf

    count = [x.shape[-1]]
    gamma, beta = get(f"{name}/gamma", count), get(f"{name}/beta", count)
    mean, variance = get(f"{name}/moving_mean", count), get(f"{name}/moving_variance", count)
    own = v1.nn.moments(x, list(range(len(x.shape) - 1)))
    chosen = [
        v1.cond(training, lambda one=one: one, lambda two=two: tf.identity(two))
        for one, two in zip(own, (mean, variance), strict=True)
    ]
    with v1.variable_scope(name):
        return v1.nn.batch_normalization(x, *chosen, beta, gamma, 1e-3)


def _fused(v1: Any, get: Any, x: Any, training: Any, name: str) -> Any:
    """Normalize as Keras did: a fused op in each branch, and the update of the moving mean."""
    count = [x.shape[-1]]
    gamma, beta = get(f"{name}/gamma", count), get(f"{name}/beta", count)
    mean, variance = get(f"{name}/moving_mean", count), get(f"{name}/moving_variance", count)

    def train() -> Any:
        return v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3, is_training=True)

    def infer() -> Any:
        return v1.nn.fused_batch_norm(
            x, gamma, beta, mean=mean, variance=variance, epsilon=1e-3, is_training=False
        )

    y, own, _ = v1.cond(training, train, infer)
    v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, v1.assign(mean, mean * 0.9 + own * 0.1))
    return y


def _matmul(x: Any, kernel: Any) -> Any:
    import tensorflow as tf

    return tf.matmul(x, kernel)


def _dense(v1: Any, get: Any) -> Any:
    """A bare placeholder says whether it is training, and is no input of the signature."""
    x = v1.placeholder("float32", [None, 5], name="features")
    phase = v1.placeholder("bool", [], name="keras_learning_phase")
    y = norm(v1, get, _matmul(x, get("dense/kernel", [5, 6])), phase, "bn")
    y = v1.cond(phase, lambda: v1.nn.dropout(y, rate=0.5), lambda: y)
    return {"features": x}, {"scores": _matmul(y, get("fc/kernel", [6, 2]))}, {phase: False}


def _conv(v1: Any, get: Any) -> Any:
    x = v1.placeholder("float32", [None, 8, 8, 3], name="images")
    phase = v1.placeholder_with_default(False, [], name="phase")  # noqa: FBT003 - the value
    y = v1.nn.conv2d(x, get("conv/kernel", [3, 3, 3, 4]), [1, 1, 1, 1], "SAME")
    y = v1.nn.relu(_fused(v1, get, y, phase, "first"))
    y = v1.nn.conv2d(y, get("conv_2/kernel", [3, 3, 4, 4]), [1, 2, 2, 1], "VALID")
    y = v1.reshape(norm(v1, get, y, phase, "second"), [-1, 36])
    return {"images": x}, {"scores": _matmul(y, get("fc/kernel", [36, 2]))}, {}


def _keep_probability(v1: Any, get: Any) -> Any:
    """A dropout that keeps everything, for that is the default of its rate."""
    x = v1.placeholder("float32", [None, 5], name="x")
    keep = v1.placeholder_with_default(1.0, [], name="keep_prob")
    no = v1.placeholder_with_default(False, [], name="phase")  # noqa: FBT003 - the value
    y = norm(v1, get, _matmul(x, get("dense/kernel", [5, 6])), no, "bn")
    y = v1.nn.dropout(y, rate=1 - keep)
    return {"x": x}, {"y": _matmul(y, get("fc/kernel", [6, 2]))}, {}


def _old_dropout(v1: Any, get: Any) -> Any:
    """The same as TensorFlow wrote it until 1.13."""
    x = v1.placeholder("float32", [None, 5], name="x")
    keep = v1.placeholder_with_default(1.0, [], name="keep_prob")
    no = v1.placeholder_with_default(False, [], name="phase")  # noqa: FBT003 - the value
    y = norm(v1, get, _matmul(x, get("dense/kernel", [5, 6])), no, "bn")
    y = v1.div(y, keep) * v1.floor(keep + v1.random_uniform(v1.shape(y)))
    return {"x": x}, {"y": _matmul(y, get("fc/kernel", [6, 2]))}, {}


def _trained(v1: Any, get: Any) -> Any:
    """Gradients, slots of an optimizer and summaries are left in the graph."""
    inputs, outputs, phase = _keep_probability(v1, get)
    loss = v1.reduce_mean(v1.square(outputs["y"]))
    v1.train.AdamOptimizer(0.1).minimize(loss)
    v1.summary.scalar("loss", loss)
    return inputs, outputs, phase


def _pieces(v1: Any, get: Any) -> Any:
    """A kernel that the checkpoint holds in three pieces."""
    x = v1.placeholder("float32", [None, 6], name="x")
    options: Any = {
        "partitioner": v1.fixed_size_partitioner(3, axis=0),
        "initializer": v1.random_normal_initializer(seed=1),
    }
    kernel = v1.convert_to_tensor(get("dense/kernel", [6, 4], **options))
    no = v1.constant(False)  # noqa: FBT003 - the value
    return {"x": x}, {"y": norm(v1, get, _matmul(x, kernel), no, "bn")}, {}


def _embedding(v1: Any, get: Any) -> Any:
    x = v1.placeholder("int32", [None, 6], name="words")
    rows = v1.nn.embedding_lookup(get("table", [10, 4]), x)
    no = v1.constant(False)  # noqa: FBT003 - the value
    return {"words": x}, {"y": v1.reduce_sum(norm(v1, get, rows, no, "bn"), 1)}, {}


def _fed_inside(v1: Any, get: Any) -> Any:
    """The signature feeds a tensor behind the decoding of strings."""
    raw = v1.placeholder("string", [None], name="raw")
    x = v1.identity(v1.reshape(v1.decode_raw(raw, "float32"), [-1, 5]), name="decoded")
    no = v1.constant(False)  # noqa: FBT003 - the value
    return {"x": x}, {"y": norm(v1, get, _matmul(x, get("w", [5, 3])), no, "bn")}, {}


def _loop(v1: Any, get: Any) -> Any:
    x = v1.placeholder("float32", [None, 5], name="x")
    kernel = get("loop/kernel", [5, 5])

    def step(i: Any, y: Any) -> Any:
        return i + 1, v1.tanh(_matmul(y, kernel) + v1.constant([0.1, 0.2, 0.3, 0.4, 0.5]))

    _, y = v1.while_loop(lambda i, _: i < 3, step, (0, x))
    no = v1.constant(False)  # noqa: FBT003 - the value
    y = norm(v1, get, _matmul(y, get("dense/kernel", [5, 4])), no, "bn")
    return {"x": x}, {"y": y}, {}


def _nested(v1: Any, get: Any) -> Any:
    """A conditional and a loop inside a loop, each with constants of its own."""
    x = v1.placeholder("float32", [None, 5], name="x")
    kernel = get("loop/kernel", [5, 5])

    def inner(j: Any, z: Any, i: Any) -> Any:
        return j + 1, z * v1.constant(0.5) + v1.cast(i, "float32"), i

    def outer(i: Any, y: Any) -> Any:
        z = v1.cond(i > 1, lambda: y * v1.constant(2.0), lambda: y + v1.constant(1.0))
        z = v1.while_loop(lambda j, *_: j < 2, inner, (0, z, i))[1]
        return i + 1, v1.tanh(_matmul(z, kernel))

    _, y = v1.while_loop(lambda i, _: i < 3, outer, (0, x))
    no = v1.constant(False)  # noqa: FBT003 - the value
    y = norm(v1, get, _matmul(y, get("dense/kernel", [5, 4])), no, "bn")
    return {"x": x}, {"y": y}, {}


def _recurrent(v1: Any, get: Any) -> Any:
    """A recurrent layer: steps are read from one TensorArray and written to another."""
    x = v1.placeholder("float32", [None, 6, 5], name="x")
    kernel, own = get("rnn/kernel", [5, 4]), get("rnn/recurrent_kernel", [4, 4])
    taken = v1.TensorArray("float32", 6).unstack(v1.transpose(x, [1, 0, 2]))
    given = v1.TensorArray("float32", 6)
    state = v1.zeros([v1.shape(x)[0], 4])

    def step(i: Any, h: Any, given: Any) -> Any:
        h = v1.tanh(_matmul(taken.read(i), kernel) + _matmul(h, own))
        return i + 1, h, given.write(i, h)

    _, last, given = v1.while_loop(lambda i, *_: i < 6, step, (0, state, given))
    steps = v1.transpose(given.stack(), [1, 0, 2])
    steps.set_shape([None, 6, 4])
    last.set_shape([None, 4])
    no = v1.constant(False)  # noqa: FBT003 - the value
    y = norm(v1, get, _matmul(last, get("dense/kernel", [4, 3])), no, "bn")
    return {"x": x}, {"y": y, "steps": steps}, {}


def _floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


GRAPHS: dict[str, OldGraph] = {
    "dense": OldGraph(_dense, {"features": _floats(4, 5)}, ("bn",)),
    "conv": OldGraph(_conv, {"images": _floats(4, 8, 8, 3)}, ("first", "second")),
    "keep probability": OldGraph(_keep_probability, {"x": _floats(4, 5)}, ("bn",)),
    "old dropout": OldGraph(_old_dropout, {"x": _floats(4, 5)}, ("bn",)),
    "trained": OldGraph(_trained, {"x": _floats(4, 5)}, ("bn",)),
    "pieces": OldGraph(_pieces, {"x": _floats(4, 6)}, ("bn",)),
    "embedding": OldGraph(
        _embedding, {"words": RNG.integers(0, 10, (4, 6)).astype(np.int32)}, ("bn",)
    ),
    "fed inside": OldGraph(_fed_inside, {"x": _floats(4, 5)}, ("bn",)),
    "loop": OldGraph(_loop, {"x": _floats(4, 5)}, ("bn",)),
    "nested": OldGraph(_nested, {"x": _floats(4, 5)}, ("bn",)),
    "recurrent": OldGraph(_recurrent, {"x": _floats(4, 6, 5)}, ("bn",)),
}
