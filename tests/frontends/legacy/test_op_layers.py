"""Layers that stand for one TensorFlow call: the numbers, the forms of the file, the refusals."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import h5py
import numpy as np
import pytest

from foldbn.errors import FoldbnError, Unreadable, Unsupported
from foldbn.frontends.legacy.op_layers import op_layer
from foldbn.frontends.legacy.op_names import RAW_OPS, functions
from tests.frontends.legacy import files

X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
Y = np.random.default_rng(1).uniform(0.5, 2, size=(2, 4, 6)).astype(np.float32)


def called(layer: Any, first: Any, **kwargs: Any) -> Any:
    """Return what a Keras model of one layer gives; arrays among the arguments are its inputs."""
    import keras

    arrays: list[np.ndarray] = []
    inputs: list[Any] = []

    def symbolic(value: Any) -> Any:
        if isinstance(value, list):
            return [symbolic(each) for each in value]
        if isinstance(value, dict):
            return {key: symbolic(each) for key, each in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(value)
        inputs.append(keras.Input(batch_shape=(None, *value.shape[1:]), dtype=str(value.dtype)))
        return inputs[-1]

    outputs = layer(symbolic(first), **symbolic(kwargs))
    model = keras.Model(inputs, outputs)
    found = model(arrays, training=False)
    return keras.tree.map_structure(np.asarray, found)


def function(name: str) -> Any:
    """Return a TFOpLambda layer."""
    return op_layer("TFOpLambda", {"name": f"tf.{name}", "function": name, "dtype": "float32"})


def shifted(x: np.ndarray) -> np.ndarray:
    """Return the old hard sigmoid."""
    return np.clip(0.2 * x + 0.5, 0, 1)


SLICE = [{"start": None, "stop": None, "step": None}, 1, {"start": 0, "stop": 6, "step": 2}]
TUPLE = {"class_name": "__tuple__", "items": [{"class_name": "__ellipsis__"}, 0]}
CONSTANT = {"class_name": "__numpy__", "config": {"value": [2.0] * 6, "dtype": "float32"}}
FUNCTIONS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "math.add": (X, {"y": Y, "name": None}, X + Y),
    "math.multiply": (X, {"y": 2.0, "name": None}, X * 2),
    "math.subtract": (1.0, {"y": X}, 1 - X),
    "subtract": (1, {"y": X}, 1 - X),
    "math.truediv": (X, {"y": CONSTANT}, X / 2),
    "math.pow": (Y, {"y": 3}, Y**3),
    "math.abs": (X, {}, np.abs(X)),
    "math.log": (Y, {}, np.log(Y)),
    "math.reduce_mean": (X, {"axis": [1, 2], "keepdims": True}, X.mean((1, 2), keepdims=True)),
    "math.greater": (X, {"y": 0.0}, X > 0),
    "math.maximum": (X, {"y": Y}, np.maximum(X, Y)),
    "clip_by_value": (X, {"clip_value_min": -0.5, "clip_value_max": 0.5}, X.clip(-0.5, 0.5)),
    "nn.relu": (X, {"name": None}, X.clip(0)),
    "compat.v1.nn.relu": (X, {}, X.clip(0)),
    "nn.leaky_relu": (X, {"alpha": 0.3}, np.where(X > 0, X, 0.3 * X)),
    "nn.softmax": (X, {"axis": 1}, np.exp(X) / np.exp(X).sum(1, keepdims=True)),
    "concat": ([X, Y], {"axis": -1}, np.concatenate([X, Y], -1)),
    "stack": ([X, Y, X], {"axis": 1}, np.stack([X, Y, X], 1)),
    "reshape": (X, {"shape": [-1, 24]}, X.reshape(-1, 24)),
    "transpose": (X, {"perm": [0, 2, 1]}, X.transpose(0, 2, 1)),
    "compat.v1.transpose": (X, {"perm": [0, 2, 1]}, X.transpose(0, 2, 1)),
    "expand_dims": (X, {"axis": 2}, X[:, :, None]),
    "cast": (X, {"dtype": "int32"}, X.astype(np.int32)),
    "tile": (X, {"multiples": [1, 2, 1]}, np.tile(X, (1, 2, 1))),
    "pad": (X, {"paddings": [[0, 0], [1, 2], [0, 0]]}, np.pad(X, ((0, 0), (1, 2), (0, 0)))),
    "where": (X > 0, {"x": X, "y": Y}, np.where(X > 0, X, Y)),
    "gather": (X, {"indices": [3, 1], "axis": 1}, X[:, [3, 1]]),
    "split": (X, {"num_or_size_splits": 3, "axis": 2}, np.split(X, 3, 2)),
    "unstack": (X, {"axis": 1}, [X[:, k] for k in range(4)]),
    "linalg.matmul": (X, {"b": Y, "transpose_b": True}, X @ Y.transpose(0, 2, 1)),
    "math.l2_normalize": (X, {"axis": -1}, X / np.linalg.norm(X, axis=-1, keepdims=True)),
    "image.flip_left_right": (X[..., None], {}, X[:, :, ::-1, None]),
    "signal.rfft": (X, {}, np.fft.rfft(X)),
    "shape": (X, {}, np.array(X.shape)),
    "__operators__.add": (X, {"y": 1.0, "name": None}, X + 1),
    "__operators__.radd": (X, {"y": Y}, X + Y),
    "__operators__.getitem": (X, {"slice_spec": SLICE}, X[:, 1, 0:6:2]),
    "__operators__.ne": (X, {"other": 0.0}, X != 0),
    "keras.activations.relu": (X, {"alpha": 0.1}, np.where(X > 0, X, np.float32(0.1) * X)),
    "keras.activations.hard_sigmoid": (3 * X, {}, shifted(3 * X)),
    "keras.backend.mean": (X, {"axis": 1}, X.mean(1)),
    "keras.backend.permute_dimensions": (X, {"pattern": [0, 2, 1]}, X.transpose(0, 2, 1)),
    "keras.backend.concatenate": ([X, Y], {}, np.concatenate([X, Y], -1)),
    "keras.backend.argmax": (X, {}, X.argmax(-1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    """A TFOpLambda gives what the function it names gives, with constants and tensors by name."""
    first, kwargs, wanted = FUNCTIONS[name]
    found = called(function(name), first, **kwargs)
    if isinstance(wanted, list):
        assert len(found) == len(wanted)
        assert all(np.array_equal(f, w) for f, w in zip(found, wanted, strict=True))
        return
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


def test_operators_by_two_names():
    """`==` is listed under another name than the function it calls; 1 is not made an int."""
    assert called(function("__operators__.eq"), X, other=X).all()
    np.testing.assert_array_equal(called(function("math.divide"), 1, y=Y), np.float32(1) / Y)


def test_slices():
    """A SlicingOpLambda takes slices, numbers, an ellipsis and tensors as bounds."""
    layer = op_layer("SlicingOpLambda", {"name": "s", "function": "__operators__.getitem"})
    np.testing.assert_array_equal(called(layer, X, slice_spec=TUPLE), X[..., 0])
    layer = op_layer("SlicingOpLambda", {"name": "t", "function": "__operators__.getitem"})
    spec = [{"start": None, "stop": None, "step": None}, {"start": 1, "stop": 3, "step": None}]
    np.testing.assert_array_equal(called(layer, X, slice_spec=spec), X[:, 1:3])


def test_a_shape_made_of_tensors():
    """A reshape to the batch size of its own input keeps what is known of the shape."""
    import keras

    inputs = keras.Input((4, 6))
    size = function("compat.v1.shape")(inputs)
    batch = function("__operators__.getitem")(size, slice_spec=0)
    outputs = function("reshape")(inputs, shape=[batch, 24])
    assert outputs.shape == (None, 24)
    np.testing.assert_array_equal(keras.Model(inputs, outputs)(X), X.reshape(2, 24))


def exists(name: str) -> bool:
    """Say whether TensorFlow or Keras has a listed function under its name."""
    for prefix in ("", "compat.v1."):
        try:
            op_layer("TFOpLambda", {"function": prefix + name})
        except Unsupported:
            continue
        return True
    return False


def test_every_listed_name_exists():
    """No name on the lists is a slip of the pen: TensorFlow or Keras has each of them."""
    import tensorflow as tf

    assert [name for name in functions() if not exists(name)] == []
    assert [op for op in RAW_OPS if not hasattr(tf.raw_ops, op)] == []


FORBIDDEN = [
    "io.write_file",
    "io.read_file",
    "compat.v1.io.write_file",
    "py_function",
    "numpy_function",
    "map_fn",
    "load_library",
    "load_op_library",
    "random.normal",
    "nn.dropout",
    "saved_model.load",
    "raw_ops.WriteFile",
    "math.__class__",
    "__class__",
    "math.add.__globals__",
    "keras.utils.get_file",
    "keras.backend.os.system",
    "os.system",
    "image.decode_png",
    "strings.format",
    "",
    "None",
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_functions_off_the_list(name):
    """What is not on the list is refused by its name, and not looked up."""
    with pytest.raises(Unsupported, match=r"not on foldbn's list") as caught:
        function(name)
    assert repr(name) in caught.value.message
    assert caught.value.exit_code == 3


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


def layers_of(path: Any) -> list[dict[str, Any]]:
    """Return the layers of the configuration in a file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    else:
        with h5py.File(path) as file:
            config = json.loads(file.attrs["model_config"])
    return config["config"]["layers"]


@pytest.mark.parametrize("name", ["tf24/h_tfop.h5", "tf210/h_tfop.keras", "tf215/h_tfop.keras"])
def test_files_of_old_frameworks(foreign_models, name):
    """The layers of real files, called as their inbound nodes say, compute what they name."""
    found = {"batch_normalization": X}
    for layer in layers_of(foreign_models / "legacy" / name):
        if layer["class_name"] != "TFOpLambda":
            continue
        (node,) = layer["inbound_nodes"]
        single = isinstance(node[0], str)
        refs = [node] if single else node
        values = [found[ref[0]] for ref in refs]
        built = op_layer("TFOpLambda", layer["config"])
        assert built.name == layer["name"]
        found[layer["name"]] = called(built, values[0] if single else values, **refs[0][3])
    wanted = X.clip(0) * 2 + 1
    np.testing.assert_allclose(found["tf.concat"], np.concatenate([wanted, wanted], -1), rtol=1e-6)


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
