"""The networks that the measuring scripts work on, with weights that keep activations sane.

Run as a program it writes one of them to a file, so that the process that measures need not
hold it: ``.venv/bin/python scripts/networks.py ResNet50 build/resnet50.keras``.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from weights import Gammas, check_outputs, draw_statistics, draw_weights, inputs_for, normalizations

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
# Trained; every other network gets random weights.
TRAINED = {"mlp": "mlp_bn_after.h5", "cnn": "cnn_bn_after.h5"}
SEED = 0
SAMPLES = 4


def build(
    name: str, *, side: int = 224, classes: int = 1000, gammas: Gammas = "mixed"
) -> keras.Model:
    """Return a network by its name.

    Args:
        name: one of `TRAINED` or `SMALL`, or a constructor of keras.applications.
        side: of the square input, where it is of keras.applications.
        classes: likewise.
        gammas: ``mixed`` has some negative and some zero gammas, ``positive`` has neither; a
            trained network keeps its own.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    if name in TRAINED:
        return keras.saving.load_model(FIXTURES / TRAINED[name], compile=False)
    if name in SMALL:
        model = SMALL[name]()
    else:
        constructor = getattr(keras.applications, name)
        model = constructor(weights=None, input_shape=(side, side, 3), classes=classes)
    return draw_statistics(model, gammas)


def conv1d_resnet() -> keras.Model:
    """Normalize sums: [256, 64], six blocks of Conv1D - BN - ReLU - Conv1D, Add - BN - ReLU."""
    signal = keras.Input((256, 64))
    x = layers.Conv1D(64, 3, padding="same", use_bias=False)(signal)
    for _ in range(6):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        inner = layers.Conv1D(64, 3, padding="same", use_bias=False)(x)
        inner = layers.ReLU()(layers.BatchNormalization()(inner))
        inner = layers.Conv1D(64, 3, padding="same", use_bias=False)(inner)
        x = layers.Add()([x, inner])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(signal, layers.Dense(10, activation="softmax")(x))


def dense_resnet() -> keras.Model:
    """Normalize sums: [256], six blocks of Dense - BN - ReLU - Dense, Add - BN - ReLU."""
    features = keras.Input((256,))
    x = layers.Dense(256)(features)
    for _ in range(6):
        inner = layers.ReLU()(layers.BatchNormalization()(layers.Dense(256)(x)))
        x = layers.Add()([x, layers.Dense(256)(inner)])
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(features, layers.Dense(10, activation="softmax")(x))


SMALL: dict[str, Callable[[], keras.Model]] = {
    "conv1d_resnet": conv1d_resnet,
    "dense_resnet": dense_resnet,
}


def scaled(megabytes: float) -> keras.Model:
    """Return a network of 4 convolutions and 3 Dense layers with so many 1e6 bytes of weights.

    Half of them are in either kind, whatever the size; only the widths grow.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    half = megabytes * 1e6 / 4 / 2
    channels = round(math.sqrt(half / (3 * 9)))
    units = round(math.sqrt(half / 2 + (channels / 4) ** 2) - channels / 4)
    image = keras.Input((16, 16, 3))
    x = image
    for number in range(4):
        x = layers.Conv2D(channels, 3, strides=1 + number % 2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    for _ in range(3):
        x = layers.BatchNormalization()(layers.Dense(units, activation="relu")(x))
    return draw_statistics(keras.Model(image, layers.Dense(10, activation="softmax")(x)), "mixed")


def twin(model: keras.Model) -> keras.Model:
    """Return the same network without BatchNormalization, its layers with a bias, new weights."""

    def with_bias(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if "use_bias" in config:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def called(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
        if isinstance(layer, layers.BatchNormalization):
            return arguments[0]
        return layer(*arguments, **options)

    # A Sequential model has no calls to change, the same layers as a graph have.
    graph = keras.Model(model.inputs[0], model.outputs[0])
    bare = keras.models.clone_model(graph, clone_function=with_bias, call_function=called)
    return draw_weights(bare)


def main() -> None:
    """Write a network to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="a network's name, or the megabytes of a scaled one")
    parser.add_argument("path", type=Path, help="the .keras or .h5 file to write")
    parser.add_argument("--side", type=int, default=224, help="of the square input")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--gammas", choices=("mixed", "positive"), default="mixed")
    parser.add_argument("--samples", type=Path, help="an .npy file of inputs to write as well")
    options = parser.parse_args()
    if options.name.replace(".", "").isdigit():
        model = scaled(float(options.name))
    else:
        model = build(
            options.name, side=options.side, classes=options.classes, gammas=options.gammas
        )
    if normalizations(model):
        check_outputs(model)
    model.save(options.path)
    if options.samples:
        np.save(options.samples, inputs_for(model, SAMPLES))


if __name__ == "__main__":
    main()
