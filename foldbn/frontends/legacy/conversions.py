"""Weights in the shapes and orders of Keras 1, Theano and cuDNN, turned into those of Keras 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.legacy.matching import Stored
from foldbn.frontends.legacy.writers import Writer

Array = NDArray[Any]

_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "ConvLSTM2D")
# Keras 1 stores one kernel, recurrent kernel and bias for each gate. Where they go:
_GATES = {"LSTM": (0, 2, 1, 3), "ConvLSTM2D": (0, 2, 1, 3), "GRU": (0, 1, 2)}
_RECURRENT_NAMES = ("kernel", "recurrent_kernel", "bias")


def converted(layer: Any, stored: list[Stored], writer: Writer) -> list[Stored]:
    """Return the stored weights of a layer as Keras 3 would have stored them.

    Args:
        layer: of Keras 3, built.
        stored: its weights in the file.
        writer: of the file.
    """
    kind = type(layer).__name__
    if kind == "Bidirectional":
        half = len(stored) // 2
        parts = (layer.forward_layer, stored[:half]), (layer.backward_layer, stored[half:])
        return [each for part, share in parts for each in converted(part, share, writer)]
    if kind == "TimeDistributed":
        return converted(layer.layer, stored, writer)
    if writer.major == 1:
        stored = _from_keras_1(layer, kind, stored)
    if writer.backend == "theano" and kind in _CONVOLUTIONS:
        # Theano convolves where all others correlate: its windows are mirrored.
        kernels = 2 if kind == "ConvLSTM2D" else 1
        mirrored = [Stored(each.name, _mirror(each.value)) for each in stored[:kernels]]
        stored = [*mirrored, *stored[kernels:]]
    if kind in ("LSTM", "GRU") and len(stored) == 3:
        stored = _from_cudnn(kind, stored)
    if kind == "BatchNormalization":
        stored = list(_without_virtual_batch(layer, stored))
    return stored


def _mirror(kernel: Array) -> Array:
    """Return ``[..., in, out]`` with its window reversed on every axis."""
    window = kernel.ndim - 2
    mirrored: Array = kernel[(slice(None, None, -1),) * window]
    return mirrored


def _without_virtual_batch(layer: Any, stored: list[Stored]) -> Iterator[Stored]:
    """Yield parameters without the axes of length 1 that virtual_batch_size puts around them."""
    for weight, each in zip(layer.weights, stored, strict=False):
        same = len(weight.shape) == 1 and each.value.size == weight.shape[0]
        yield Stored(each.name, each.value.reshape(weight.shape)) if same else each


def _from_keras_1(layer: Any, kind: str, stored: list[Stored]) -> list[Stored]:
    if kind in _GATES and len(stored) == 3 * len(_GATES[kind]):
        stored = _join_gates(stored, _GATES[kind])
    if stored and kind in ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose"):
        kernel = _kernel_from_keras_1(layer, kind, stored[0].value)
        stored = [Stored(stored[0].name, kernel), *stored[1:]]
    return stored


def _join_gates(stored: list[Stored], order: tuple[int, ...]) -> list[Stored]:
    """Return kernel, recurrent kernel and bias with the gates side by side: ``[in, 4 units]``."""
    return [
        Stored(name, np.concatenate([stored[3 * gate + part].value for gate in order], axis=-1))
        for part, name in enumerate(_RECURRENT_NAMES)
    ]


def _kernel_from_keras_1(layer: Any, kind: str, kernel: Array) -> Array:
    """Return a kernel as ``[window, in, out]``, of a transposed convolution ``[window, out, in]``.

    Channels first, Keras 1 stored ``[out, in, window]``. It stored Conv1D with a second window
    axis of length 1: ``[window, 1, in, out]``, before 1.1 ``[out, in, window, 1]``.
    """
    window = list(range(2, kernel.ndim))
    if kind == "Conv1D" and kernel.ndim == 4:
        old = kernel.shape[:2] != (layer.kernel_size[0], 1) or kernel.shape[3] != layer.filters
        flat: Array = (kernel.transpose(2, 3, 1, 0) if old else kernel)[:, 0]
        return flat
    first = layer.data_format == "channels_first"
    if kind == "Conv2DTranspose":
        return kernel.transpose(*window, 0, 1) if first else kernel.transpose(0, 1, 3, 2)
    return kernel.transpose(*window, 1, 0) if first else kernel


def _from_cudnn(kind: str, stored: list[Stored]) -> list[Stored]:
    """Return weights that a CuDNNLSTM or CuDNNGRU stored as those of a LSTM or GRU.

    cuDNN keeps each gate's matrix transposed, and a bias for the input and one for the state.
    """
    kernel, recurrent, bias = (each.value for each in stored)
    gates = len(_GATES[kind])
    units = recurrent.shape[0]
    if bias.shape != (2 * units * gates,):
        return stored
    inputs = np.hstack([part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)])
    states = np.hstack([part.T for part in np.hsplit(recurrent, gates)])
    both = bias.reshape(2, -1)
    values = (inputs, states, both.sum(axis=0) if kind == "LSTM" else both)
    return [Stored(each.name, value) for each, value in zip(stored, values, strict=True)]
