"""Ops that some affine maps pass through unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldbn.ops.base import Op


@dataclass(frozen=True)
class Commuting(Op):
    """An op of one input that some affine maps pass through unchanged: ``A o f == f o A``.

    Attributes:
        name: what a person calls it.
        scales: which scales may pass.
        shifts: whether shifts may pass.
        uniform_axes: axes of the sample along which a map must not vary, for the op mixes them.
        growth: where each result is a mean of numbers along `uniform_axes`, with weights that
            add up to one: how many results there are for each of those; None for another op,
            and where it is not known.
    """

    name: str
    scales: Literal["any", "nonnegative"]
    shifts: bool
    uniform_axes: tuple[int, ...] = ()
    growth: float | None = None

    @property
    def title(self) -> str:
        """The op's name."""
        return self.name


def identity(name: str = "Identity") -> Commuting:
    """Return an op that does nothing at inference."""
    return Commuting(name, "any", shifts=True)


def relu(name: str = "ReLU") -> Commuting:
    """Return ReLU, LeakyReLU or PReLU: ``f(s * x) == s * f(x)`` for every s >= 0."""
    return Commuting(name, "nonnegative", shifts=False)


def max_pool(axes: tuple[int, ...]) -> Commuting:
    """Return max pooling; TensorFlow leaves padding out of a window, so shifts pass."""
    return Commuting("MaxPool", "nonnegative", shifts=True, uniform_axes=axes)


def average_pool(axes: tuple[int, ...], stride: int = 1) -> Commuting:
    """Return average pooling; TensorFlow divides by the unpadded count, so shifts pass.

    Args:
        axes: of the sample that the window slides over.
        stride: product of its strides along them.
    """
    return Commuting("AveragePool", "any", shifts=True, uniform_axes=axes, growth=1 / stride)


def zero_pad(axes: tuple[int, ...]) -> Commuting:
    """Return padding with zeros along `axes`: a zero is any multiple of itself."""
    return Commuting("zero padding", "any", shifts=False, uniform_axes=axes)


def space_to_batch(axes: tuple[int, ...], *, padded: bool) -> Commuting:
    """Return SpaceToBatch: pixels of a grid move to the batch axis, after zero padding."""
    return Commuting("SpaceToBatch", "any", shifts=not padded, uniform_axes=axes)


def batch_to_space(axes: tuple[int, ...]) -> Commuting:
    """Return BatchToSpace, the inverse of SpaceToBatch, with its cropping."""
    return Commuting("BatchToSpace", "any", shifts=True, uniform_axes=axes)


def resize(
    axes: tuple[int, ...], name: str = "bilinear resizing", growth: float | None = None
) -> Commuting:
    """Return resizing: each result is a mean of inputs, with weights that add up to one."""
    return Commuting(name, "any", shifts=True, uniform_axes=axes, growth=growth)
