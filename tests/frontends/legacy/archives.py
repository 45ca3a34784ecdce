"""Archives of .keras as Keras 2 wrote them, and models for them."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# What Keras 2 called the parts of a layer, and found in this order.
PARTS = (
    "_key_dense",
    "_output_dense",
    "_query_dense",
    "_value_dense",
    "backward_layer",
    "cell",
    "forward_layer",
    "layer",
)
SNAKES = {
    "Sequential": "sequential",
    "Functional": "functional",
    "Dense": "dense",
    "Conv2D": "conv2d",
    "PReLU": "p_re_lu",
    "ReLU": "re_lu",
    "BatchNormalization": "batch_normalization",
    "Normalization": "normalization",
    "Bidirectional": "bidirectional",
    "TimeDistributed": "time_distributed",
    "MultiHeadAttention": "multi_head_attention",
    "SeparableConv2D": "separable_conv2d",
    "ConvLSTM2D": "conv_lst_m2d",
    "LSTM": "lstm",
    "RNN": "rnn",
    "GRU": "gru",
    "LSTMCell": "lstm_cell",
    "GRUCell": "gru_cell",
    "InputLayer": "input_layer",
}


def entry(layer: Any, shared: dict[int, int]) -> dict[str, Any]:
    """Return what Keras 2 wrote of a layer, as far as its weights need it."""
    config: dict[str, Any] = {"name": layer.name}
    found = {"class_name": type(layer).__name__, "config": config, "name": layer.name}
    if hasattr(layer, "layers"):
        config["layers"] = [entry(each, shared) for each in layer.layers]
    if hasattr(layer, "layer"):
        config["layer"] = entry(layer.layer, shared)
    if id(layer) in shared:
        found["shared_object_id"] = shared[id(layer)]
    return found


class Writer:
    """Writes weights as the saving library of Keras 2.12 to 2.15 did."""

    def __init__(self, file: h5py.File, *, twice: bool) -> None:
        self.file, self.twice = file, twice
        self.seen: set[int] = set()

    def write(self, layer: Any, path: str) -> None:
        """Write a layer and its parts, once."""
        if id(layer) in self.seen:
            return
        self.seen.add(id(layer))
        group = self.file.create_group(f"{path}/vars")
        own = layer._trainable_variables + layer._non_trainable_variables
        for number, weight in enumerate(own):
            group[str(number)] = np.asarray(weight)
        if hasattr(layer, "layers"):
            box = "_layer_checkpoint_dependencies" if self.twice else "layers"
            self.write_list(layer.layers, f"{path}/{box}", twice=self.twice)
            return
        for part in PARTS:
            if hasattr(layer, part):
                self.write(getattr(layer, part), f"{path}/{part}")
        if hasattr(layer, "cells"):
            self.write_list(layer.cells, f"{path}/cells", twice=False)

    def write_list(self, layers: list[Any], path: str, *, twice: bool) -> None:
        """Write layers by class and number; some came twice, once because they have weights."""
        counts: Counter[str] = Counter()
        for layer in layers:
            name = SNAKES.get(type(layer).__name__, type(layer).__name__.lower())
            for _ in range(2 if twice and layer.weights else 1):
                number = counts[name]
                counts[name] += 1
                self.write(layer, f"{path}/{name}_{number}" if number else f"{path}/{name}")


def archive(
    folder: Path, model: Any, *, twice: bool = False, change: Any = None
) -> zipfile.ZipFile:
    """Return an archive with the weights of a model; `change` edits HDF5 file and config."""
    layers = [each for each in model._flatten_layers() if each is not model]
    counts = Counter(id(each) for part in layers for each in getattr(part, "layers", ()))
    shared = {key: number for number, (key, count) in enumerate(counts.items()) if count > 1}
    config, content = entry(model, shared), io.BytesIO()
    with h5py.File(content, "w") as file:
        Writer(file, twice=twice).write(model, "")
        file["optimizer/vars/0"] = np.zeros(3)
        if change is not None:
            change(file, config)
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("config.json", json.dumps(config))
        packed.writestr("model.weights.h5", content.getvalue())
    return zipfile.ZipFile(path)


def randomised(model: Any) -> Any:
    """Give every weight of a model random values."""
    rng = np.random.default_rng(len(model.weights))
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, size=weight.shape))
    return model


def stack() -> Any:
    """Return layers of one class with and without weights in a row."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(3, 3, name="one"),
            layers.BatchNormalization(name="bn", scale=False),
            layers.ReLU(name="r"),
            layers.SeparableConv2D(3, 2, name="two"),
            layers.PReLU(name="p"),
            layers.ReLU(name="rr"),
            layers.Conv2D(3, 2, use_bias=False, name="three"),
            layers.Flatten(name="flat"),
            layers.Dense(4, name="d"),
            layers.Dense(4, name="a_b"),
        ]
    )


def nested() -> Any:
    """Return a model in a model, one of them frozen and called twice."""
    import keras

    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="d"), layers.BatchNormalization(name="bn")],
        name="inner",
    )
    inner.trainable = False
    x = keras.Input((4,))
    norm = layers.Normalization(name="n")
    y = layers.Dense(4, name="d")(inner(inner(norm(x))))
    middle = keras.Model(x, y, name="middle")
    z = keras.Input((4,))
    return keras.Model(z, layers.Dense(2, name="e")(layers.Add()([middle(z), inner(z)])))


def wrapped() -> Any:
    """Return wrappers, cells and attention."""
    import keras

    layers = keras.layers
    x = keras.Input((5, 4))
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="b")(x)
    y = layers.TimeDistributed(
        keras.Sequential([layers.Dense(4, name="d"), layers.BatchNormalization(name="bn")]),
        name="t",
    )(y)
    y = layers.MultiHeadAttention(2, 3, name="m")(y, y)
    cells = [layers.LSTMCell(4), layers.GRUCell(4), layers.LSTMCell(4)]
    y = layers.RNN(cells, return_sequences=True, name="r")(y)
    return keras.Model(x, layers.GRU(3, name="g")(y))


def filmed() -> Any:
    """Return a layer whose class Keras has spelt in two ways."""
    import keras

    return keras.Sequential([keras.Input((3, 6, 6, 2)), keras.layers.ConvLSTM2D(4, 3, name="c")])


MODELS = {"stack": stack, "nested": nested, "wrapped": wrapped, "filmed": filmed}
