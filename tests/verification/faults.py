"""A model, and faults that are put into its kernels on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from foldbn.frontends.frozen import FrozenModel
from tests.journeys import randomise

Alter = Callable[[np.ndarray], np.ndarray]


def _add_a_thousandth(kernel: np.ndarray) -> np.ndarray:
    """Change one weight by 1e-3."""
    altered = kernel.copy()
    altered[(kernel.shape[0] // 2, *[0] * (kernel.ndim - 1))] += 1e-3
    return altered


def swap_channels(kernel: np.ndarray) -> np.ndarray:
    """Exchange two output channels, which a depthwise kernel has on its last axis but one."""
    altered = kernel.copy()
    channels = np.moveaxis(altered, -2 if kernel.shape[-1] == 1 else -1, 0)
    channels[[0, 1]] = channels[[1, 0]]
    return altered


def put_nan(kernel: np.ndarray) -> np.ndarray:
    """Make the last weight NaN."""
    altered = kernel.copy()
    altered.flat[-1] = np.nan
    return altered


def _double_one(kernel: np.ndarray) -> np.ndarray:
    """Flip the lowest bit of one exponent, which doubles or halves the weight."""
    altered = kernel.astype(np.float32)
    altered.view(np.uint32).flat[3] ^= 1 << 23
    return altered


FAULTS: dict[str, Alter] = {
    "a thousandth": _add_a_thousandth,
    "swapped channels": swap_channels,
    "NaN": put_nan,
    "one bit": _double_one,
}


def two_outputs(epsilon: float = 1e-3) -> Any:
    """Return a model with outputs ``one`` and ``two`` of one shape."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((6,), name="x")
    hidden = layers.Dense(5, use_bias=False, name="hidden")(inputs)
    hidden = layers.ReLU()(layers.BatchNormalization(epsilon=epsilon, name="bn")(hidden))
    outputs = [layers.Dense(3, name=name)(hidden) for name in ("one", "two")]
    return randomise(keras.Model(inputs, outputs), seed=2)


def kernels_of(model: FrozenModel) -> dict[str, np.ndarray]:
    """Return the kernels that folding made, in float64, by the names of their constants."""
    return {name: value for name, value in model.values.items() if name.endswith("/kernel")}
