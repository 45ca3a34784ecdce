"""Layers with a kernel or a table.

Kernels have the layouts TensorFlow gives them:

    Dense           [in, out]
    Conv            [*window, in / groups, out]
    DepthwiseConv   [*window, in, multiplier]     output channel = in * multiplier + m
    ConvTranspose   [*window, out, in]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foldbn.affine import Array
from foldbn.ops.base import Op, Opaque, Size


@dataclass(frozen=True, eq=False)
class Dense(Op):
    """``y = x @ kernel + bias`` over the last axis of a sample of `rank`."""

    kernel: Array
    bias: Array | None = None
    rank: int = 1


@dataclass(frozen=True, eq=False)
class Embedding(Op):
    """Looks up rows of `table`, ``[rows, *features]``, for a sample of indices.

    The result has the axes of the indices first, then those of the features: `rank` in all.
    """

    table: Array
    rank: int


@dataclass(frozen=True, eq=False)
class Einsum(Op):
    """``y = einsum(x, kernel) + bias``: products, summed over each label that the result lacks.

    Attributes:
        kernel: the constant factor.
        labels: a letter for each axis of a sample, of the kernel and of a result. Each label of
            the sample is one of the kernel or of the result as well.
        bias: of the result's rank.
    """

    kernel: Array
    labels: tuple[str, str, str]
    bias: Array | None = None


@dataclass(frozen=True, eq=False)
class Conv(Op):
    """``y = conv(x, kernel) + bias`` over one to three spatial axes.

    Attributes:
        padding: ``valid``, ``same`` as TensorFlow means it, or pairs (before, after) per
            spatial axis.
        input_size: length of each spatial axis of the input, None where unknown.
        channels_first: whether the channel is the sample's first axis.
    """

    kernel: Array
    bias: Array | None = None
    strides: tuple[int, ...] = (1,)
    dilations: tuple[int, ...] = (1,)
    padding: Literal["valid", "same"] | tuple[tuple[int, int], ...] = "valid"
    groups: int = 1
    input_size: Size = (None,)
    channels_first: bool = False

    @property
    def window(self) -> tuple[int, ...]:
        """Length of the kernel along each spatial axis."""
        return self.kernel.shape[:-2]

    @property
    def rank(self) -> int:
        """Rank of the sample: spatial axes and the channel."""
        return len(self.window) + 1

    @property
    def channel_axis(self) -> int:
        """Axis of the channel in a sample."""
        return 0 if self.channels_first else self.rank - 1

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Axes of a sample that the window slides over."""
        return tuple(axis for axis in range(self.rank) if axis != self.channel_axis)

    @property
    def pads(self) -> bool | None:
        """Whether zeros are put around the input; None where its size is unknown.

        ``same`` pads ``max((ceil(n/s) - 1) * s + (k - 1) * d + 1 - n, 0)`` zeros along an
        axis of length n, for stride s, window k and dilation d.
        """
        if self.padding == "valid":
            return False
        if self.padding != "same":
            return any(any(pair) for pair in self.padding)
        extents = [(k - 1) * d + 1 for k, d in zip(self.window, self.dilations, strict=True)]
        if None in self.input_size:
            return None if any(extent > 1 for extent in extents) else False
        return any(
            (-(-n // s) - 1) * s + extent - n > 0
            for n, s, extent in zip(self.input_size, self.strides, extents, strict=True)
            if n is not None
        )


@dataclass(frozen=True, eq=False)
class DepthwiseConv(Conv):
    """A convolution of each channel by itself into `multiplier` channels."""


@dataclass(frozen=True, eq=False)
class ConvTranspose(Conv):
    """The transpose of a convolution; each input spreads a window over the output."""


@dataclass(frozen=True, eq=False)
class Recurrence(Opaque):
    """A loop whose steps take ``x[t] @ kernel + bias`` into whatever it computes; its first input.

    Attributes:
        kernel: ``[in, out]``.
        bias: ``[out]``, or None where none is added.
    """

    kernel: Array = field(kw_only=True)
    bias: Array | None = field(default=None, kw_only=True)
