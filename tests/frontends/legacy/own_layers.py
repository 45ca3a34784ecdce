"""What a user would hand to --custom-objects for the models of other packages that have own layers.

Written from the arguments and weights that the files have.
"""

from __future__ import annotations

import keras
import numpy as np


class Scale(keras.layers.Layer):
    """``k x``."""

    def __init__(self, k=1.0, **options):
        super().__init__(**options)
        self.k = k

    def call(self, x):
        """Return the scaled input."""
        return self.k * x

    def get_config(self):
        """Return what it is made from."""
        return {**super().get_config(), "k": self.k}


class MultiScaleTemporalConvolution(keras.layers.Layer):
    """A depthwise convolution along the first axis of ``[T, 1, C]``."""

    def __init__(self, stride=1, scales=(9,), **options):
        super().__init__(**options)
        self.stride, self.scales = stride, scales

    def build(self, shape):
        """Make one kernel of the greatest width."""
        self.depthwise_kernel = self.add_weight(
            shape=(max(self.scales), 1, shape[-1], 1), name="depthwise_kernel"
        )

    def call(self, x):
        """Return the convolved sequence."""
        return keras.ops.depthwise_conv(
            x, self.depthwise_kernel, strides=(self.stride, self.stride), padding="same"
        )


class SplineWeight1D(keras.layers.Layer):
    """``x (1 + B kernel)`` on ``[T, C]``: B holds the B-splines at each of the T positions."""

    def __init__(self, n_bases=10, spline_degree=3, **options):
        for unused in ("share_splines", "l2_smooth", "l2", "use_bias", "bias_initializer"):
            options.pop(unused, None)
        super().__init__(**options)
        self.n_bases, self.degree = n_bases, spline_degree

    def build(self, shape):
        """Make the coefficients ``[n_bases, C]``."""
        self.kernel = self.add_weight(shape=(self.n_bases, shape[-1]), name="kernel")
        self.splines = _splines(shape[1], self.n_bases, self.degree)

    def call(self, x):
        """Return the weighted sequence."""
        return x * (1 + keras.ops.matmul(self.splines, self.kernel))


def _splines(length, bases, degree):
    """Return ``[length, bases]``: B-splines on equidistant knots, by the recursion of de Boor."""
    margin = 0.001 * (length - 1)
    step = (length - 1 + 2 * margin) / (bases - degree)
    knots = -margin + step * (np.arange(bases + degree + 1) - degree)
    at = np.arange(length)[:, None]
    found = ((knots[:-1] <= at) & (at < knots[1:])).astype(float)
    for k in range(1, degree + 1):
        rising = (at - knots[: -k - 1]) / (knots[k:-1] - knots[: -k - 1])
        falling = (knots[k + 1 :] - at) / (knots[k + 1 :] - knots[1:-k])
        found = rising * found[:, :-1] + falling * found[:, 1:]
    return found.astype(np.float32)
