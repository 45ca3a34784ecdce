"""Recognize affine maps: fused normalization, arithmetic with constants, biases and sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn import ops
from foldbn.affine import Affine
from foldbn.frontends.context import Context, Recognized, Shape
from foldbn.frontends.frozen import NodeDef, tensor_name

_FLOATS = (1, 2)  # DT_FLOAT, DT_DOUBLE
_EXTREMA = ("Maximum", "Minimum")
_JOINS = ("Add", "AddV2", "AddN", "Sub", "Mul", *_EXTREMA)


def batch_norm(node: NodeDef, context: Context) -> Recognized | None:
    """Read FusedBatchNorm at inference: ``gamma / sqrt(variance + epsilon)`` is the scale."""
    parts = [context.constant(source) for source in node.input[1:5]]
    sample = context.sample(node.input[0])
    if node.attr["is_training"].b or sample is None or any(part is None for part in parts):
        return None
    gamma, beta, mean, variance = (np.asarray(part, np.float64) for part in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    shape = [1] * len(sample)
    shape[0 if node.attr["data_format"].s.startswith(b"NC") else -1] = -1
    return (
        ops.AffineOp(Affine(scale.reshape(shape), (beta - mean * scale).reshape(shape))),
        context.data(node),
    )


def arithmetic(node: NodeDef, context: Context) -> Recognized | None:
    """Read ``x + c``, ``c - x``, ``x * c``, ``x / c`` and ``-x`` over floats, and joins."""
    if node.attr["T"].type not in _FLOATS:
        return None
    data = context.data(node)
    if len(data) == len(node.input) and node.op in _JOINS:
        return _join(node.op, data, context)
    if node.op in _EXTREMA:
        return ops.Opaque(node.op, f"{node.op} clips at a constant, which no map moves"), data
    if len(data) != 1 or node.op == "AddN" or (sample := context.sample(data[0])) is None:
        return None
    flipped = tensor_name(node.input[0]) != data[0]
    constant = np.ones(()) if node.op == "Neg" else context.constant(node.input[int(not flipped)])
    if constant is None or not _fits(constant, sample):
        return None
    values = constant.reshape(constant.shape[-len(sample) :] if sample else ())
    pair = _scale_and_shift(node.op, values, flipped=flipped)
    return None if pair is None else (ops.AffineOp(Affine.of(*pair, len(sample)).compact()), data)


def _scale_and_shift(
    kind: str, values: NDArray[Any], *, flipped: bool
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    one, zero = np.ones_like(values), np.zeros_like(values)
    if kind == "Neg":
        return -one, zero
    if kind in ("Add", "AddV2", "BiasAdd"):
        return one, values
    if kind == "Sub":
        return (-one, values) if flipped else (one, -values)
    if kind == "Mul":
        return values, zero
    divides = kind in ("RealDiv", "Div") and not flipped and values.all()
    return (1 / values, zero) if divides else None


def _fits(constant: NDArray[Any], sample: Shape) -> bool:
    """Whether a constant broadcasts against samples without making them greater."""
    if constant.ndim > len(sample) + 1 or (
        constant.ndim == len(sample) + 1 and constant.shape[0] != 1
    ):
        return False
    pairs = zip(reversed(constant.shape), reversed(sample), strict=False)
    return all(own in (1, length) for own, length in pairs)


def _join(kind: str, data: tuple[str, ...], context: Context) -> Recognized | None:
    """Read a sum, difference, product, maximum or minimum of tensors of one rank."""
    samples = [context.sample(source) for source in data]
    known = [sample for sample in samples if sample is not None]
    if len(known) < len(data) or any(len(sample) != len(known[0]) for sample in known):
        return None
    if kind == "Mul":
        return ops.Multiply((known[0], known[1])), data
    if any(sample != known[0] for sample in known):
        return None
    if kind == "Maximum":
        return ops.Extremum("Maximum"), data
    if kind == "Minimum":
        return ops.Extremum("Minimum"), data
    return ops.Add(len(data), subtracts=kind == "Sub"), data


def bias_add(node: NodeDef, context: Context) -> Recognized | None:
    """Read BiasAdd: a bias for each channel, which stands first or last in a sample."""
    bias, sample = context.constant(node.input[1]), context.sample(node.input[0])
    if bias is None or sample is None:
        return None
    shape = [1] * len(sample)
    shape[0 if node.attr["data_format"].s == b"NCHW" else -1] = -1
    return ops.Bias(bias.reshape(shape)), context.data(node)
