"""Configurations that ask for more than their file stores: refused before anything is built."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foldbn.errors import Unsafe
from foldbn.frontends import configs, keras_files, sniff
from foldbn.frontends.budget import bounded, check_budget, check_tensors
from foldbn.frontends.demand import demand

HUGE = 130_000  # squared and in float32: 63 GiB


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """Return a layer as Keras 3 serializes it."""
    return {"class_name": kind, "module": "keras.layers", "config": {"name": kind, **config}}


def stack(shape: list[Any], *layers: dict[str, Any]) -> dict[str, Any]:
    """Return a Sequential model as Keras 3 serializes it."""
    first = layer("InputLayer", batch_shape=[None, *shape], dtype="float32")
    config = {"name": "model", "layers": [first, *layers]}
    return {"class_name": "Sequential", "module": "keras", "config": config}


def write(path: Path, config: Any, version: str = "3.3.3") -> Path:
    """Write a small file with a configuration that is not of its weights."""
    weights = path.with_name("weights.h5")
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = file["model_weights/dense/kernel"] = np.ones((9, 9), "f4")
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps(config)
    if path.suffix == ".h5":
        return weights.rename(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.write(weights, "model.weights.h5")
    weights.unlink()
    return path


DENSE = layer("Dense", units=HUGE)
INPUT = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, HUGE], "name": "i"}}
CALL = [[["i", 0, 0, {}]]]
FUNCTIONAL = {
    "class_name": "Model",
    "config": {
        "name": "model",
        "layers": [
            {**INPUT, "name": "i", "inbound_nodes": []},
            {**DENSE, "name": "d", "inbound_nodes": CALL},
        ],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["d", 0, 0]],
    },
}
LSTM = layer("LSTM", units=HUGE)
BOMBS = {
    "Dense": stack([HUGE], DENSE),
    "Dense of very many": stack([2], layer("Dense", units=10**9)),
    "units beyond all numbers": stack([2], layer("Dense", units=10**300)),
    "units as a float": stack([2], layer("Dense", units=1e300)),
    "Conv2D": stack([8, 8, 3], layer("Conv2D", filters=10**9, kernel_size=[3, 3])),
    "a window": stack([8, 8, 3], layer("Conv2D", filters=1, kernel_size=[10**5, 10**5])),
    "Depthwise": stack([8, 8, 3], layer("DepthwiseConv2D", kernel_size=3, depth_multiplier=10**8)),
    "Embedding": stack([3], layer("Embedding", input_dim=HUGE, output_dim=HUGE)),
    "LSTM": stack([5, 2], LSTM),
    "in RNN": stack([5, 2], layer("RNN", cell=layer("GRUCell", units=HUGE))),
    "in Bidirectional": stack([5, 2], layer("Bidirectional", layer=LSTM)),
    "in TimeDistributed": stack([5, HUGE], layer("TimeDistributed", layer=DENSE)),
    "attention": stack([5, 2], layer("MultiHeadAttention", num_heads=HUGE, key_dim=HUGE)),
    "nested": stack([HUGE], stack([HUGE], stack([HUGE], DENSE))),
    "functional": FUNCTIONAL,
    "Keras 1": {
        "class_name": "Sequential",
        "config": [layer("Dense", output_dim=HUGE, batch_input_shape=[None, HUGE])],
    },
    "many layers": stack([2000], *([layer("Dense", units=2000)] * 100)),
    "by way of Flatten": stack([500, 500, 4], layer("Flatten"), layer("Dense", units=9)),
    "by way of RepeatVector": stack([9], layer("RepeatVector", n=HUGE), layer("Flatten"), DENSE),
    "by way of UpSampling": stack(
        [9, 9, 9], layer("UpSampling2D", size=[999, 999]), layer("PReLU", shared_axes=None)
    ),
    "by way of padding": stack(
        [9, 9, 1], layer("ZeroPadding2D", padding=9999), layer("Flatten"), layer("Dense", units=2)
    ),
    "an input": stack([HUGE, HUGE], layer("Activation", activation="relu")),
    "a tensor": stack([9], layer("RepeatVector", n=10**10)),
}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("config", BOMBS.values(), ids=BOMBS)
def test_bombs(tmp_path, suffix, config):
    """A small file that asks for gigabytes is refused by arithmetic alone."""
    path = write(tmp_path / f"bomb{suffix}", config)
    assert path.stat().st_size < 40_000
    with pytest.raises(Unsafe, match=r"asks for .* (weights and stores|numbers)") as caught:
        keras_files.load(path, sniff.sniff(path))
    assert caught.value.exit_code == 3


def test_the_command_is_quick_and_small(tmp_path):
    """The command refuses a bomb in seconds, in little memory, and builds nothing."""
    path = write(tmp_path / "bomb.h5", BOMBS["Dense"])
    told = tmp_path / "stderr"
    command = [sys.executable, "-m", "foldbn", "inspect", str(path)]
    start = time.monotonic()
    with told.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
    spent = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3, told.read_text()
    assert "16,900,000,000 weights" in told.read_text()
    assert usage.ru_maxrss < 2**20  # KiB
    assert spent < 5  # half a second where nothing else runs; TensorFlow's import takes longer


def known(folders: list[Path]) -> list[Path]:
    """Return every Keras file below some folders."""
    return [
        path
        for folder in folders
        for suffix in ("h5", "hdf5", "keras")
        for path in sorted(folder.rglob(f"*.{suffix}"))
    ]


def holds(path: Path) -> None:
    """Assert that a file asks for no more weights than it stores."""
    kind = sniff.sniff(path)
    config = configs.read_config(path, kind)
    room = check_budget(config, path, kind)
    assert demand(config).weights <= room - 2**22, path


def test_networks_of_this_project(networks):
    """No trained network is taken for a bomb."""
    found = known([networks])
    assert len(found) > 10
    for path in found:
        holds(path)


def test_files_of_every_framework(foreign_models):
    """No file of Keras 1 to 3 is taken for a bomb."""
    found = known([foreign_models])
    assert len(found) > 100
    for path in found:
        holds(path)


def models() -> list[Any]:
    """Return models of all kinds of layers whose weights and shapes are counted."""
    import keras

    layers = keras.layers
    x = keras.Input((7, 5, 3))
    shared, active = layers.Dense(4), layers.Activation("relu")
    one = active(shared(x))
    two = active(layers.Flatten()(shared(layers.MaxPooling2D(2)(x))))
    y = layers.Concatenate()([layers.Flatten()(one), layers.Dense(9)(two)])
    y = layers.UpSampling1D(3)(layers.ZeroPadding1D((1, 2))(layers.Reshape((-1, 1))(y)))
    y = layers.LSTM(4, return_sequences=True)(layers.Permute((2, 1))(y))
    attended = layers.PReLU()(layers.MultiHeadAttention(2, 5)(y, y))
    z = layers.Dense(3)(layers.Bidirectional(layers.GRU(3))(y))
    deep = keras.Sequential(
        [
            keras.Input((3, 8, 8, 2)),
            layers.ConvLSTM2D(4, 3),
            layers.SeparableConv2D(5, 3, depth_multiplier=2),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            layers.Conv2DTranspose(3, 3),
            layers.Conv2D(6, 1, groups=3),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Flatten(),
            layers.RepeatVector(3),
            layers.TimeDistributed(layers.Dense(4)),
            layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]),
            layers.Dense(2),
        ]
    )
    words = keras.Sequential(
        [keras.Input((5,)), layers.Embedding(50, 8), layers.Conv1D(4, 3), layers.SimpleRNN(3)]
    )
    channels = keras.Sequential(
        [
            keras.Input((3, 8, 8)),
            layers.Conv2D(4, 3, data_format="channels_first"),
            layers.MaxPooling2D(2, data_format="channels_first"),
            layers.Conv2D(2, 3, data_format="channels_first"),
        ]
    )
    return [keras.Model(x, [z, attended]), deep, words, channels]


def test_a_lower_bound():
    """What is counted is never more than what Keras makes, and for plain stacks it is near."""
    import keras

    for model in (*models(), keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3))):
        asked = demand(json.loads(model.to_json()))
        assert 0 < asked.weights <= model.count_params()
        greatest = max(
            math.prod(length or 1 for length in tensor.shape[1:])
            for each in model._flatten_layers()
            for node in each._inbound_nodes
            for tensor in node.outputs
        )
        assert asked.largest <= greatest
    assert asked.weights > 0.95 * model.count_params()


def test_a_layer_in_two_models_counts_once():
    """A layer that the file marks as the same in two places is counted in the first."""
    one = {**layer("Dense", units=1000), "shared_object_id": 7}
    inner = stack([1000], one)
    assert demand(stack([1000], inner, inner)).weights == 10**6
    other = stack([1000], layer("Dense", units=1000))
    assert demand(stack([1000], other, other)).weights == 2 * 10**6


def test_a_layer_called_twice_gives_no_certain_shape():
    """What a layer gives at its first call is not taken for what it gives at its second."""
    import keras

    active = keras.layers.Activation("relu")
    wide, narrow = keras.Input((5000,)), keras.Input((2,))
    outputs = [active(wide), keras.layers.Dense(5000, use_bias=False)(active(narrow))]
    model = keras.Model([wide, narrow], outputs)
    assert demand(json.loads(model.to_json())).weights <= model.count_params() == 10_000


def test_layers_of_the_user_are_not_judged():
    """Of a user's own Dense nothing is certain."""
    assert demand(stack([HUGE], DENSE), {"Dense"}).weights == 0


@pytest.mark.parametrize(
    "config",
    [None, [], 7, {"class_name": 3}, stack([None, -1, "x"]), {"config": [1, [2]]}],
    ids=str,
)
def test_configurations_that_are_none(config):
    """What is no configuration asks for nothing; others refuse it."""
    assert demand(config).weights == 0


def test_while_a_model_is_built():
    """A weight that arithmetic did not foresee is refused before memory is taken for it."""
    import keras

    def build() -> Any:
        x = keras.Input((HUGE,))
        return keras.layers.Dense(HUGE)(keras.layers.Lambda(lambda y: y)(x))

    with bounded(10**6, "model"), pytest.raises(Unsafe, match="asks for more weights"):
        build()
    with bounded(10**6, "model"):
        keras.layers.Dense(700)(keras.Input((1000,)))
    keras.layers.Dense(1200)(keras.Input((1000,)))  # no limit any more


def test_tensors_of_a_built_model():
    """A layer that would give a tensor of terabytes is refused before the model is run."""
    import keras

    x = keras.Input((10, 10, 3))
    inner = keras.Model(x, keras.ops.sum(keras.ops.tile(x, [1, 10**4, 10**4, 1]), axis=[1, 2]))
    outer = keras.Sequential([keras.Input((10, 10, 3)), inner])
    layered = keras.Sequential([keras.Input((10, 10, 3)), keras.layers.UpSampling2D(10**4)])
    for model in (inner, outer, layered):
        with pytest.raises(Unsafe, match=r"30,000,000,000 numbers"):
            check_tensors(model, "model")
    check_tensors(keras.Model(x, keras.ops.sum(x)), "model")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("version", ["2.15.0", "3.3.3"])
def test_behind_a_layer_of_unknown_shape(tmp_path, suffix, version):
    """A kernel whose size arithmetic cannot know is refused as it is made, by every loader."""
    named = {"class_name": "function", "config": "relu", "module": "keras.activations"}
    config = stack([2000], layer("Lambda", function=named), layer("Dense", units=10**6))
    path = write(tmp_path / f"bomb{suffix}", config, version)
    assert demand(config).weights == 10**6
    with pytest.raises(Unsafe, match="asks for more weights than it stores: 'Dense'"):
        keras_files.load(path, sniff.sniff(path))


def test_a_tensor_of_unknown_shape(tmp_path):
    """A tensor whose size arithmetic cannot know is refused before the model is run."""
    named = {"class_name": "function", "config": "relu", "module": "keras.activations"}
    config = stack([3], layer("Lambda", function=named), layer("RepeatVector", n=10**10))
    path = write(tmp_path / "bomb.h5", config, "2.15.0")
    with pytest.raises(Unsafe, match="30,000,000,000 numbers"):
        keras_files.load(path, sniff.sniff(path))
