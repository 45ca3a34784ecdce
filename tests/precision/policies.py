"""One network under any of Keras's dtype policies, and its conversion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import foldbn
from tests.journeys import randomise

# The unit in the last place of 1: of 11 bits of float16, 8 of bfloat16, 24 of float32.
UNITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-23}
SHAPE = (8, 8, 3)


def in_policy(policy: str, build: Callable[[], Any]) -> Any:
    """Return what `build` makes under a dtype policy, which is reset."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


def _network() -> Any:
    """Return a network with normalization after and before its layers, and 1,280 weights in one."""
    import keras

    layers = keras.layers
    inputs = keras.Input(SHAPE, name="x")
    tensor = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
    tensor = layers.ReLU()(layers.BatchNormalization(name="bn_conv")(tensor))
    tensor = layers.Flatten()(layers.MaxPooling2D()(tensor))
    tensor = layers.Dense(10, name="dense")(layers.BatchNormalization(name="bn_flat")(tensor))
    tensor = layers.BatchNormalization(name="bn_dense")(tensor)
    return keras.Model(inputs, layers.Softmax(name="kind")(tensor))


def built(policy: str, seed: int = 1) -> Any:
    """Return the network under a policy, with random normalization."""
    import keras

    keras.utils.set_random_seed(seed)
    return randomise(in_policy(policy, _network), seed)


class Case:
    """A network under one policy, its files, and its conversion."""

    def __init__(self, policy: str, folder: Path) -> None:
        self.policy, self.folder, self.model = policy, folder, built(policy)
        self.path, self.directory = folder / "model.keras", folder / "original"
        self.model.save(self.path)
        self.model.export(self.directory, verbose=False)
        self.result = foldbn.convert(self.path, output_dir=folder / "out", bench=False)

    @property
    def kind(self) -> str:
        """The type of the products."""
        return self.policy.removeprefix("mixed_")

    @property
    def files(self) -> list[str]:
        """The paths of the artefacts."""
        return [artifact.path for artifact in self.result.artifacts]
