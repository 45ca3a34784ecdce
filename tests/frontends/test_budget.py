"""Configurations that ask for more than their file stores: refused before anything is built."""

from __future__ import annotations

import json
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
from foldbn.frontends import keras_files, sniff
from foldbn.frontends.budget import check_graph
from foldbn.frontends.demand import demand
from tests.frontends.configurations import DENSE, HUGE, layer, stack

_FLOAT, _INT, _BOOL = 1, 3, 10  # by DataType


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
    # What a process had when it was forked counts as its own: a small one forks the command.
    measured = (
        "import os, subprocess, sys; process = subprocess.Popen(sys.argv[1:]);"
        " _, status, usage = os.wait4(process.pid, 0); process.returncode = 0;"
        " print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)"
    )
    start = time.monotonic()
    with told.open("wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-c", measured, *command], stdout=-1, stderr=stderr, check=True
        )
    spent = time.monotonic() - start
    code, peak = map(int, done.stdout.split())
    assert code == 3, told.read_text()
    assert "16,900,000,000 weights" in told.read_text()
    assert peak < 2**20  # KiB
    assert spent < 5  # half a second where nothing else runs; TensorFlow's import takes longer


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


def _doubling(depth: int) -> Any:
    """Return a graph whose functions each call the next one twice, on lengths of their own."""
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    graph_def = graph_pb2.GraphDef()
    graph_def.versions.producer = 1882
    graph_def.node.add(name="p", op="Placeholder").attr["dtype"].type = _BOOL
    x = graph_def.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = _FLOAT
    x.attr["shape"].shape.dim.add(size=8)
    _choose(graph_def.node, "y", "x", 0)
    for number in range(depth + 1):
        function = graph_def.library.function.add()
        function.signature.name = f"f{number}"
        function.signature.input_arg.add(name="p", type=_BOOL)
        function.signature.input_arg.add(name="x", type=_FLOAT)
        function.signature.output_arg.add(name="y", type=_FLOAT)
        function.ret["y"] = "x" if number == depth else "a:output:0"
        if number < depth:
            for name, value in (("c", np.zeros(2**number, np.float32)), ("axis", np.int32(0))):
                constant = function.node_def.add(name=name, op="Const")
                constant.attr["dtype"].type = _INT if name == "axis" else _FLOAT
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
            longer = function.node_def.add(name="longer", op="ConcatV2")
            longer.input[:] = ["x", "c:output:0", "axis:output:0"]
            longer.attr["N"].i = 2
            longer.attr["T"].type = _FLOAT
            longer.attr["Tidx"].type = _INT
            _choose(function.node_def, "a", "x", number + 1)
            _choose(function.node_def, "b", "longer:output:0", number + 1)
    return graph_def


def _choose(nodes: Any, name: str, source: str, number: int) -> None:
    node = nodes.add(name=name, op="StatelessIf", input=["p", "p", source])
    node.attr["Tcond"].type = _BOOL
    node.attr["Tin"].list.type[:] = [_BOOL, _FLOAT]
    node.attr["Tout"].list.type[:] = [_FLOAT]
    for branch in ("then_branch", "else_branch"):
        node.attr[branch].func.name = f"f{number}"


@pytest.mark.parametrize(("depth", "there"), [(5, False), (11, True)])
def test_functions_that_call_each_other_on_ever_more_shapes(depth, there):
    """What doubles with each call comes to an end, and a few calls are none of it."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(_doubling(depth), name="")
    if not there:
        check_graph(graph)
        return
    with pytest.raises(Unsafe, match="its 12 functions on more than 1,792 combinations"):
        check_graph(graph)
