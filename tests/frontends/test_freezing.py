"""Freezing keeps what a function computes, and keeps great weights out of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unsafe
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import FrozenModel, Layers
from foldbn.verification.reference import Evaluator

SIDE = 40  # 40 x 40 numbers are great, 40 are not
SAMPLES = np.random.default_rng(1).normal(size=(3, SIDE)).astype(np.float32)


def _module() -> Any:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    module = tf.Module()
    module.kernel = tf.Variable(rng.normal(size=(SIDE, SIDE)).astype(np.float32))
    module.bias = tf.Variable(rng.normal(size=SIDE).astype(np.float32))
    module.constant = tf.constant(rng.normal(size=(SIDE, SIDE)).astype(np.float32))
    return module


def _read(module: Any, x: Any) -> Any:
    return x @ module.kernel + module.bias


def _captured(module: Any, x: Any) -> Any:
    return x @ module.constant


def _gathered(module: Any, x: Any) -> Any:
    import tensorflow as tf

    rows = tf.cast(tf.abs(x) * 5, tf.int32)
    return tf.reduce_sum(tf.gather(module.kernel, rows), axis=1)


def _called(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.function(lambda y: y @ module.kernel)(x) - x


def _looped(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.while_loop(
        lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y @ module.kernel)), (0, x)
    )[1]


def _chosen(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.cond(tf.reduce_sum(x) > 0, lambda: x @ module.kernel, lambda: x - module.bias)


def _frozen(body: Any) -> tuple[FrozenModel, np.ndarray]:
    import tensorflow as tf

    module = _module()
    function = tf.function(lambda x: body(module, x), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((None, SIDE), name="x"))
    model = freeze(concrete, ["x"], ["y"], Layers())
    return model, concrete(tf.constant(SAMPLES)).numpy()


@pytest.mark.parametrize("body", [_read, _captured, _gathered, _called, _looped, _chosen])
def test_outputs_stay(body):
    """The frozen graph computes what the function did, however it uses its variables."""
    model, wanted = _frozen(body)
    found = Evaluator(model)({"x": SAMPLES})["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert np.ptp(found) > 0.1
    assert not {"ReadVariableOp", "VarHandleOp"} & {node.op for node in model.graph_def.node}


@pytest.mark.parametrize("body", [_read, _captured, _gathered, _called])
def test_great_weights_are_stubs(body):
    """A great weight is no copy in the graph: its node has a type and a shape alone."""
    model, _ = _frozen(body)
    (name,) = model.stubs()
    assert model.values[name].shape == (SIDE, SIDE)
    assert model.graph_def.ByteSize() < SIDE * SIDE * 4


def test_whole():
    """A graph with its weights put back computes the same without the values beside it."""
    model, wanted = _frozen(_read)
    whole = FrozenModel(model.whole(), model.inputs, model.outputs)
    assert whole.stubs() == []
    np.testing.assert_allclose(Evaluator(whole)({"x": SAMPLES})["y"], wanted, rtol=1e-5, atol=1e-5)


def test_weights_are_not_copied():
    """The values are TensorFlow's own memory, for one copy of the weights is enough."""
    model, _ = _frozen(_read)
    (name,) = model.stubs()
    assert not model.values[name].flags.owndata


def test_a_tensor_that_no_memory_holds_is_refused_before_it_is_computed():
    """A few bytes of a graph can ask for 4 GiB."""
    import tensorflow as tf

    def summed(x: Any) -> Any:
        return x + tf.reduce_sum(tf.fill([2**16, 2**14], 1.0))

    function = tf.function(summed).get_concrete_function(tf.TensorSpec((None, 2), name="x"))
    with pytest.raises(Unsafe, match=r"the op Fill \(Fill\) asks for a tensor of 1,073,741,824"):
        freeze(function, ["x"], ["y"], Layers())


def _filled(x: Any) -> Any:
    import tensorflow as tf

    return x + tf.reduce_sum(tf.fill([2**16, 2**14], tf.reduce_sum(x)))


def _squared(x: Any) -> Any:
    """Compute each number times each other one: of 2^15 numbers 2^30."""
    import tensorflow as tf

    wide = tf.tile(x[:1], [1, 2**14])
    return (
        x
        + tf.while_loop(
            lambda i, _: i < 2,
            lambda i, y: (i + 1, y + tf.reduce_sum(tf.transpose(y) @ y)),
            (0, wide),
        )[1][:, :2]
    )


def _in_a_loop(x: Any) -> Any:
    import tensorflow as tf

    return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, _filled(y)), (0, x))[1]


def _in_a_branch(x: Any) -> Any:
    import tensorflow as tf

    return tf.cond(tf.reduce_sum(x) > 0, lambda: _filled(x), lambda: x)


def _in_a_loop_in_a_branch(x: Any) -> Any:
    import tensorflow as tf

    return tf.cond(tf.reduce_sum(x) > 0, lambda: _in_a_loop(x), lambda: x)


HIDDEN = {
    each.__name__.strip("_"): each
    for each in (_in_a_loop, _in_a_branch, _in_a_loop_in_a_branch, _squared)
}


@pytest.mark.parametrize("call", HIDDEN.values(), ids=HIDDEN)
def test_a_tensor_that_no_memory_holds_inside_a_loop_or_branch(call):
    """What goes round in a loop, or is only computed at times, takes as much memory."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, 2), name="x")
    function = tf.function(call, autograph=False).get_concrete_function(spec)
    with pytest.raises(Unsafe, match=r"asks for a tensor of 1,073,741,824"):
        freeze(function, ["x"], ["y"], Layers())


@pytest.mark.parametrize(
    ("batch", "side", "fits"), [(128, 224, True), (None, 2049, False), (1, 2049, False)]
)
def test_what_counts_is_one_sample(batch, side, fits):
    """A batch that the graph fixes is no greater network; [128, 224, 224, 64] is 3.2 M numbers."""
    import tensorflow as tf

    def repeated(x: Any) -> Any:
        return tf.reduce_mean(tf.tile(x, [1, 1, 1, 64]), [1, 2])

    spec = tf.TensorSpec((batch, side, side, 1), name="x")
    function = tf.function(repeated, autograph=False).get_concrete_function(spec)
    if fits:
        assert freeze(function, ["x"], ["y"], Layers()).batch_size == batch
        return
    with pytest.raises(Unsafe, match="268,697,664 numbers for each sample"):
        freeze(function, ["x"], ["y"], Layers())
