"""Layers and functions that Keras 1 and 2 had and Keras 3 has not, at inference.

Each has the name it had, so that reports show what the file says. Imported only where a model is
rebuilt: this module imports Keras.
"""

from __future__ import annotations

import functools
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="foldbn")  # Bidirectional serializes its layer
def hard_sigmoid(x: Any) -> Any:
    """Return ``clip(0.2 x + 0.5, 0, 1)``; Keras 3 computes ``relu6(x + 3) / 6`` by this name."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


class ThresholdedReLU(keras.layers.Layer):
    """``x if x > theta else 0``."""

    def __init__(self, theta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.theta = theta
        self.supports_masking = True
        self.built = True

    def call(self, x: Any) -> Any:
        """Return `x` where it is above theta, otherwise zero."""
        return x * keras.ops.cast(x > self.theta, x.dtype)


class BatchNormalization(keras.layers.Layer):
    """BatchNormalization over several axes at once, which Keras 3 has for one only.

    ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta``, with parameters that have a
    length of their own on each axis in `axis` and 1 on all others.
    """

    def __init__(
        self,
        axis: list[int],
        epsilon: float = 1e-3,
        *,
        center: bool = True,
        scale: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis, self.epsilon = axis, epsilon
        self.center, self.scale = center, scale
        self.supports_masking = True
        self.gamma: Any = None
        self.beta: Any = None
        self.moving_mean: Any = None
        self.moving_variance: Any = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, of shape ``[1, ..., length, ..., 1]``."""
        rank = len(input_shape)
        axes = {axis % rank for axis in self.axis}
        shape = [length if axis in axes else 1 for axis, length in enumerate(input_shape)]
        if self.scale:
            self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        if self.center:
            self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.moving_mean = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="moving_variance"
        )

    def call(self, x: Any) -> Any:
        """Return the normalized `x`."""
        factor = keras.ops.rsqrt(self.moving_variance + self.epsilon)
        if self.scale:
            factor = factor * self.gamma
        shift = -self.moving_mean * factor
        if self.center:
            shift = shift + self.beta
        return x * factor + shift


class UpSampling2D(keras.layers.Layer):
    """Bilinear UpSampling2D as stand-alone Keras computed it until 2.3.

    Output pixel i samples the input at ``i / size``; since then it is ``(i + 0.5) / size - 0.5``.
    """

    def __init__(self, size: list[int], data_format: str = "channels_last", **options: Any) -> None:
        super().__init__(**options)
        self.size, self.data_format = size, data_format

    def call(self, x: Any) -> Any:
        """Return the images, `size` times as high and wide."""
        import tensorflow as tf

        first = self.data_format == "channels_first"
        images = tf.transpose(x, (0, 2, 3, 1)) if first else x
        known = images.shape.as_list()[1:3]
        shape = [
            length * size if length else tf.shape(images)[axis] * size
            for axis, length, size in zip((1, 2), known, self.size, strict=True)
        ]
        larger = tf.compat.v1.image.resize_bilinear(images, shape)
        return tf.transpose(larger, (0, 3, 1, 2)) if first else larger


class Identity(keras.layers.Layer):
    """What a layer is that does something in training only, and whose arguments Keras 3 lacks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.built = True

    def call(self, x: Any) -> Any:
        """Return `x`."""
        return x


class MeetingMasks(keras.layers.Layer):
    """Merged layers are masked where all of them are valid; Keras 3 takes where any is."""

    def compute_mask(self, inputs: list[Any], mask: Any = None) -> Any:
        """Return the mask of the merged layers, or None where none has one."""
        masks = [each for each in mask or () if each is not None]
        if not masks:
            return None
        axis = getattr(self, "axis", -1) % len(inputs[0].shape)  # of Concatenate
        if axis < len(masks[0].shape):
            masks = [_mask(x, each) for x, each in zip(inputs, mask, strict=True)]
            return keras.ops.concatenate(masks, axis=axis)
        return functools.reduce(keras.ops.logical_and, masks)


def _mask(x: Any, mask: Any) -> Any:
    return keras.ops.ones_like(x[..., 0], dtype="bool") if mask is None else mask


class FusedEpsilon(keras.layers.Layer):
    """The fused kernel that Keras 2 used on images takes no epsilon below 1.001e-5."""

    axis: int
    epsilon: float
    fused_ranks: tuple[int, ...] = (4,)
    fused_axes: tuple[int, ...] = (1, -1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, and settle epsilon."""
        super().build(input_shape)
        rank = len(input_shape)
        axes = {axis % rank for axis in self.fused_axes}
        if rank in self.fused_ranks and self.axis % rank in axes:
            self.epsilon = max(self.epsilon, 1.001e-5)


class RepeatedOutput(keras.layers.Layer):
    """Stand-alone Keras repeats the last output where a step is masked; later it is zero."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.forward_layer.zero_output_for_mask = False
        self.backward_layer.zero_output_for_mask = False


MIXINS: dict[str, Any] = {
    "MeetingMasks": MeetingMasks,
    "FusedEpsilon": FusedEpsilon,
    "RepeatedOutput": RepeatedOutput,
}
OWN: dict[str, Any] = {
    "ThresholdedReLU": ThresholdedReLU,
    "BatchNormalization over several axes": BatchNormalization,
    "UpSampling2D anchored at the corner": UpSampling2D,
    "Identity": Identity,
}
