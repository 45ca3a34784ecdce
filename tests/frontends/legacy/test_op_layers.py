"""Layers that stand for one TensorFlow call: the numbers, the forms of the file, the refusals."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import h5py
import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends.legacy.op_layers import op_layer
from foldbn.frontends.legacy.op_names import RAW_OPS, functions
from tests.frontends.legacy.op_layers import X, Y, called


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
