"""Layers that hold the definition of one node of a graph."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from foldbn.errors import FoldbnError, Unreadable, Unsupported
from foldbn.frontends.legacy.op_layers import op_layer
from tests.frontends.legacy import files
from tests.frontends.legacy.op_layers import X, Y, called


def recorded(build: Any, *arrays: Any) -> tuple[Any, dict[int, Any]]:
    """Return the NodeDef that TensorFlow 1 records for a call, and its constants by index."""
    import tensorflow as tf

    with tf.Graph().as_default():
        ports = [tf.compat.v1.placeholder(a.dtype, (None, *a.shape[1:])) for a in arrays]
        made = build(tf, *ports)
        node = (made[0] if isinstance(made, (list, tuple)) else made).op
        constants = {
            index: np.asarray(tf.get_static_value(tensor)).tolist()
            for index, tensor in enumerate(node.inputs)
            if not any(tensor is port for port in ports)
        }
    return node.node_def, constants


def raw_layer(build: Any, *arrays: Any, form: str = "object") -> Any:
    """Return a TensorFlowOpLayer as the files of TF 1.15 to 2.3 store it."""
    from google.protobuf import json_format

    node, constants = recorded(build, *arrays)
    stored = {
        "object": lambda: json_format.MessageToDict(node),
        "text": lambda: json_format.MessageToJson(node),
        "bytes": lambda: node.SerializeToString().decode("latin1"),
    }[form]()
    config = {"name": node.name, "node_def": stored, "constants": constants, "dtype": "float32"}
    return op_layer("TensorFlowOpLayer", json.loads(json.dumps(config)))


IMAGE = X[..., None]
ROWS = [[0, 0], [1, 0], [0, 0]]
RAW: dict[str, tuple[Any, list[np.ndarray], Any]] = {
    "AddV2": (lambda _, x, y: x + y, [X, Y], X + Y),
    "Mul": (lambda _, x: x * 2.0, [X], X * 2),
    "Sub": (lambda _, x: 1.0 - x, [X], 1 - X),
    "RealDiv": (lambda _, x: x / 4.0, [X], X / 4),
    "Relu": (lambda tf, x: tf.nn.relu(x), [X], X.clip(0)),
    "LeakyRelu": (lambda tf, x: tf.nn.leaky_relu(x, 0.3), [X], np.where(X > 0, X, 0.3 * X)),
    "ConcatV2": (lambda tf, x, y: tf.concat([x, y], 1), [X, Y], np.concatenate([X, Y], 1)),
    "Pack": (lambda tf, x, y: tf.stack([x, y], 1), [X, Y], np.stack([X, Y], 1)),
    "AddN": (lambda tf, x, y: tf.add_n([x, y]), [X, Y], X + Y),
    "Mean": (lambda tf, x: tf.reduce_mean(x, 1, keepdims=True), [X], X.mean(1, keepdims=True)),
    "Transpose": (lambda tf, x: tf.transpose(x, [0, 2, 1]), [X], X.transpose(0, 2, 1)),
    "Reshape": (lambda tf, x: tf.reshape(x, [-1, 24]), [X], X.reshape(-1, 24)),
    "StridedSlice": (lambda _, x: x[:, 1:, ::2], [X], X[:, 1:, ::2]),
    "Squeeze": (lambda tf, x: tf.squeeze(x, 3), [IMAGE], X),
    "Split": (lambda tf, x: tf.split(x, 2, 1), [X], np.split(X, 2, 1)),
    "Cast": (lambda tf, x: tf.cast(x, tf.int32), [X], X.astype(np.int32)),
    "Pad": (lambda tf, x: tf.pad(x, ROWS), [X], np.pad(X, ROWS)),
    "BatchMatMulV2": (
        lambda tf, x, y: tf.matmul(x, y, adjoint_b=True),
        [X, Y],
        X @ Y.transpose(0, 2, 1),
    ),
    "MaxPool": (
        lambda tf, x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        [IMAGE],
        IMAGE.reshape(2, 2, 2, 3, 2, 1).max((2, 4)),
    ),
    "SelectV2": (lambda tf, c, x, y: tf.where(c, x, y), [X > 0, X, Y], np.where(X > 0, X, Y)),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_ops(name):
    """A TensorFlowOpLayer gives what its op gives, constants put back by their index."""
    build, arrays, wanted = RAW[name]
    found = called(raw_layer(build, *arrays), arrays if len(arrays) > 1 else arrays[0])
    if isinstance(wanted, list):
        assert all(np.array_equal(f, w) for f, w in zip(found, wanted, strict=True))
        return
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("form", ["object", "text", "bytes"])
def test_node_defs_in_every_form(form):
    """A NodeDef is read as a JSON object, as JSON text, and as bytes in a string."""
    layer = raw_layer(lambda tf, x: tf.transpose(x, [0, 2, 1]), X, form=form)
    np.testing.assert_array_equal(called(layer, X), X.transpose(0, 2, 1))


def test_the_prefix_of_the_name():
    """A TensorFlowOpLayer's name has the prefix that its own configuration leaves away."""
    node = {"name": "mul_3", "op": "Neg", "attr": {"T": {"type": "DT_FLOAT"}}}
    for name in ("mul_3", "tf_op_layer_mul_3"):
        layer = op_layer("TensorFlowOpLayer", {"name": name, "node_def": node})
        assert layer.name == "tf_op_layer_mul_3"
        assert type(layer).__name__ == "TensorFlowOpLayer"


@pytest.mark.parametrize(
    "op", ["WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "RandomUniform", "If"]
)
def test_ops_off_the_list(op):
    """A raw op that is not on the list is refused by its name."""
    config = {"name": "n", "node_def": {"name": "n", "op": op, "input": ["a", "b"]}}
    with pytest.raises(Unsupported, match=f"op '{op}'"):
        op_layer("TensorFlowOpLayer", config)


@pytest.mark.parametrize(
    "stored", [None, "", "no node", {}, {"op": 3}, {"surplus": 1}, [1]], ids=str
)
def test_damaged_node_defs(stored):
    """What is no NodeDef is an error of the file, not of foldbn."""
    with pytest.raises(FoldbnError) as caught:
        op_layer("TensorFlowOpLayer", {"name": "n", "node_def": stored})
    assert caught.value.exit_code == 3


def test_inputs_too_many_and_too_few():
    """An op that is given more or fewer inputs than it takes says so."""
    node = {"name": "n", "op": "Sub", "attr": {"T": {"type": "DT_FLOAT"}}}
    for count in (1, 3):
        layer = op_layer("TensorFlowOpLayer", {"name": "n", "node_def": node})
        with pytest.raises(Unreadable, match=f"has {count} inputs, 2 are"):
            layer([X] * count)


def test_a_whole_file_of_raw_ops(tmp_path):
    """A file as TF 2.1 wrote it, its layers called by inbound nodes, is read and computed."""
    kernel = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    row = np.zeros((1, 4), np.float32)

    def raw(name: str, build: Any, *inbound: str) -> dict[str, Any]:
        from google.protobuf import json_format

        node, constants = recorded(build, *[row] * len(inbound))
        stored = json_format.MessageToDict(node)
        entry = files.layer("TensorFlowOpLayer", f"tf_op_layer_{name}", *inbound)
        entry["config"] = {"name": name, "node_def": stored, "constants": constants}
        return entry

    model = files.chain(
        files.source("x", 6),
        files.layer("Dense", "d", "x", units=4, use_bias=False),
        raw("Relu", lambda tf, x: tf.nn.relu(x), "d"),
        raw("mul", lambda _, x: x * 2.0, "tf_op_layer_Relu"),
        raw("concat", lambda tf, x, y: tf.concat([x, y], 1), "tf_op_layer_mul", "d"),
    )
    path = files.write(tmp_path / "m.h5", model, {"d": [("d/kernel:0", kernel)]}, "2.2.4-tf")
    x = np.random.default_rng(6).normal(size=(3, 6)).astype(np.float32)
    (found,) = files.computed(files.load(path, "keras-h5"), x)
    dense = x @ kernel
    np.testing.assert_allclose(found, np.concatenate([2 * dense.clip(0), dense], 1), atol=1e-5)
