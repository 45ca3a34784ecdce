"""Random weights that keep activations at the scale of a trained network's.

Statistics drawn at random would let activations grow or vanish from layer to layer, until a
softmax saturates and its output says nothing, or numbers become denormal and slow. So each
normalization gets the statistics of what it really meets on made-up images, each a little off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
from keras import layers

Gammas = Literal["mixed", "positive"]

SEED = 0
MOST_IMAGES, MOST_NUMBERS = 16, 2**20
# On the way to denormal numbers, of which TensorFlow itself shows none: it takes them for zero.
_VANISHING = 1e-30
# Of the outputs: how much they move from image to image, and how sure the classifier may be.
_LEAST_SPREAD, _MOST_CERTAIN = 1e-3, 0.99


def normalizations(model: keras.Model) -> list[layers.BatchNormalization]:
    """Return every BatchNormalization of a model."""
    return [each for each in model.layers if isinstance(each, layers.BatchNormalization)]


def count_for(model: keras.Model) -> int:
    """Return how many inputs a network can be run on at once, its inner tensors all in memory."""
    return int(np.clip(MOST_NUMBERS // math.prod(model.input_shape[1:]), 3, MOST_IMAGES))


def inputs_for(model: keras.Model, count: int, seed: int = SEED) -> np.ndarray:
    """Return standard normal inputs, or pixels from 0 to 255 where the model rescales itself.

    Images have blotches: what is independent from pixel to pixel would average out, and every
    image look the same to the last layers. Their contrasts differ, and the first one is black.
    """
    rng = np.random.default_rng(seed)
    shape = model.input_shape[1:]
    values = rng.normal(size=(count, *shape))
    if len(shape) == 3:
        size = math.ceil(max(shape[:2]) / 4)
        blotches = rng.normal(size=(count, 4, 4, shape[2])).repeat(size, 1).repeat(size, 2)
        values = (values + blotches[:, : shape[0], : shape[1]]) / math.sqrt(2)
        values *= rng.uniform(0.2, 1.8, (count, 1, 1, 1))
    if any(isinstance(layer, layers.Rescaling) for layer in model.layers):
        values = np.clip(128 + 64 * values, 0, 255)
    values[0] = 0
    return values.astype(np.float32)


def draw_statistics(model: keras.Model, gammas: Gammas) -> keras.Model:
    """Give each normalization a random gamma and beta, and statistics near to what it meets.

    Args:
        model: it is changed, and returned.
        gammas: ``mixed`` has one in ten negative and three in a hundred zero, ``positive``
            has neither.
    """
    rng = np.random.default_rng(SEED)
    found = normalizations(model)
    dropouts = [each for each in model.layers if isinstance(each, layers.Dropout)]
    kept = [(each, "momentum", each.momentum) for each in found]
    kept += [(each, "rate", each.rate) for each in dropouts]
    for each in dropouts:
        each.rate = 0.0
    for each in found:
        shape = each.moving_mean.shape
        if each.gamma is not None:
            each.gamma.assign(_gamma(rng, shape, gammas))
        if each.beta is not None:
            each.beta.assign(rng.normal(0, 0.3, shape))
        each.momentum = 0.0  # one call in training mode then leaves that batch's statistics
    model(inputs_for(model, count_for(model)), training=True)
    for each, name, value in kept:
        setattr(each, name, value)
    for each in found:
        mean, variance = (np.asarray(w) for w in (each.moving_mean, each.moving_variance))
        variance = np.maximum(variance, 0.1 * variance.mean())  # channels behind a zero gamma
        each.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * np.sqrt(variance))
        each.moving_variance.assign(variance * np.exp(rng.uniform(-0.2, 0.2, variance.shape)))
    _calm_head(model)
    return model


def _calm_head(model: keras.Model) -> None:
    """Scale a last Dense layer so that its softmax is nowhere near to certain.

    Not even for inputs three times as wide, which foldbn verifies on as well.
    """
    head = model.layers[-1]
    if isinstance(head, layers.Dense):
        inner = keras.Model(model.inputs[0], head.input)
        images, kernel = inputs_for(model, count_for(model)), np.asarray(head.kernel)
        near, wide = (
            (np.asarray(inner(factor * images, training=False)) @ kernel).std(axis=1)
            for factor in (1, 3)
        )
        head.kernel.assign(kernel / max(np.median(near), near.max() / 4, wide.max() / 4))


def _gamma(rng: np.random.Generator, shape: Sequence[int], gammas: Gammas) -> np.ndarray:
    gamma = rng.uniform(0.5, 1.5, shape)
    if gammas == "mixed":
        gamma[rng.random(shape) < 0.1] *= -1
        gamma[rng.random(shape) < 0.03] = 0
    return gamma


def draw_weights(model: keras.Model) -> keras.Model:
    """Draw every kernel with variance 2 over its inputs (He et al., 2015), every bias near 0.

    No bias is zero: an exporter would drop it, and a twin without biases computes less.
    """
    rng = np.random.default_rng(SEED)
    drawn = []
    for weight in model.weights:
        if weight.path.endswith("bias"):
            drawn.append(rng.uniform(0.01, 0.1, weight.shape) * rng.choice([-1, 1], weight.shape))
            continue
        # [..., in, out]; a depthwise kernel, [..., channels, multiplier], sums over its window.
        depthwise = "depthwise" in weight.path
        inputs = math.prod(weight.shape[:-2] if depthwise else weight.shape[:-1])
        drawn.append(rng.normal(0, math.sqrt(2 / inputs), weight.shape))
    model.set_weights(drawn)
    _calm_head(model)
    return model


def check_outputs(model: keras.Model) -> dict[str, float]:
    """Return how much the outputs say: their spread over images, and the median greatest share.

    Raises:
        ValueError: they are not finite, hardly depend on the image, or are saturated.
    """
    outputs = np.asarray(model(inputs_for(model, count_for(model), SEED + 1), training=False))
    spread = float(outputs.std(axis=0).mean() / np.abs(outputs).mean())
    sizes = np.abs(outputs)
    certain = float(np.median(sizes.max(axis=1) / sizes.sum(axis=1)))
    if not (np.isfinite(outputs).all() and spread > _LEAST_SPREAD and certain < _MOST_CERTAIN):
        raise ValueError(f"{model.name}: outputs spread by {spread:.1e}, certain to {certain:.3f}")
    return {"spread": spread, "certain": certain}


def check_activations(model: keras.Model) -> None:
    """Run a model once, and look at what every layer computes.

    Raises:
        ValueError: a layer computes infinity, NaN, or numbers that are next to denormal.
    """
    inner = keras.Model(model.inputs[0], [layer.output for layer in model.layers])
    results = inner(inputs_for(model, 2), training=False)
    for layer, result in zip(model.layers, results, strict=True):
        size = np.abs(np.asarray(result))
        vanishing = float(((size > 0) & (size < _VANISHING)).mean())
        if not np.isfinite(size).all() or vanishing > 1e-3:
            told = f"{vanishing:.1%} below {_VANISHING}, up to {size.max():.1e}"
            raise ValueError(f"{model.name}, {layer.name}: {told}")
