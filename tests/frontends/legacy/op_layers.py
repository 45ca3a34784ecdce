"""Layers that stand for one TensorFlow call, called."""

from __future__ import annotations

from typing import Any

import numpy as np

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
