"""The operations foldbn understands, whatever framework they came from.

An op is a value: frozen, with its weights as float64 arrays. Rules return a changed
copy. Axes count over one sample (the tensor without its leading, batch, axis).
Kernels have the layouts TensorFlow gives them:

    Dense           [in, out]
    Conv            [*window, in / groups, out]
    DepthwiseConv   [*window, in, multiplier]     output channel = in * multiplier + m
    ConvTranspose   [*window, out, in]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldbn.affine import Affine, Array

Size = tuple[int | None, ...]


class Op:
    """Base of every op."""

    @property
    def title(self) -> str:
        """What a person calls the op."""
        return type(self).__name__


@dataclass(frozen=True)
class Opaque(Op):
    """Any op without a rule: a wall.

    Attributes:
        kind: its framework's name for it.
        reason: a clause that says why nothing moves past it, where that is known.
    """

    kind: str
    reason: str = ""

    @property
    def title(self) -> str:
        """The framework's own name."""
        return self.kind


@dataclass(frozen=True)
class ShapeOf(Op):
    """Reads the shape of its input and none of its values."""


@dataclass(frozen=True, eq=False)
class AffineOp(Op):
    """``y = scale * x + shift``: BatchNormalization, Normalization, Rescaling, constant Mul."""

    affine: Affine

    @property
    def title(self) -> str:
        """The term of the field."""
        return "affine layer"


@dataclass(frozen=True, eq=False)
class Bias(Op):
    """``y = x + bias``: the bias of a layer that cannot hold it; bias has the sample's rank."""

    bias: Array


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
class Mixing(Op):
    """``y = kernel @ x`` over the last axis but one of a sample; kernel is ``[out, in]``."""

    kernel: Array

    @property
    def title(self) -> str:
        """What a person calls it."""
        return "a product with a constant from the left"


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


@dataclass(frozen=True)
class Commuting(Op):
    """An op of one input that some affine maps pass through unchanged: ``A o f == f o A``.

    Attributes:
        name: what a person calls it.
        scales: which scales may pass.
        shifts: whether shifts may pass.
        uniform_axes: axes of the sample along which a map must not vary, for the op mixes them.
    """

    name: str
    scales: Literal["any", "nonnegative"]
    shifts: bool
    uniform_axes: tuple[int, ...] = ()

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


def average_pool(axes: tuple[int, ...]) -> Commuting:
    """Return average pooling; TensorFlow divides by the unpadded count, so shifts pass."""
    return Commuting("AveragePool", "any", shifts=True, uniform_axes=axes)


def zero_pad(axes: tuple[int, ...]) -> Commuting:
    """Return padding with zeros along `axes`: a zero is any multiple of itself."""
    return Commuting("zero padding", "any", shifts=False, uniform_axes=axes)


def space_to_batch(axes: tuple[int, ...], *, padded: bool) -> Commuting:
    """Return SpaceToBatch: pixels of a grid move to the batch axis, after zero padding."""
    return Commuting("SpaceToBatch", "any", shifts=not padded, uniform_axes=axes)


def batch_to_space(axes: tuple[int, ...]) -> Commuting:
    """Return BatchToSpace, the inverse of SpaceToBatch, with its cropping."""
    return Commuting("BatchToSpace", "any", shifts=True, uniform_axes=axes)


def resize(axes: tuple[int, ...], name: str = "bilinear resizing") -> Commuting:
    """Return resizing: each result is a mean of inputs, with weights that add up to one."""
    return Commuting(name, "any", shifts=True, uniform_axes=axes)


_POOLS = {"mean": "GlobalAveragePooling", "max": "GlobalMaxPooling", "min": "Min", "sum": "Sum"}


@dataclass(frozen=True)
class GlobalPool(Op):
    """The mean, maximum, minimum or sum over whole `axes` of a sample.

    Attributes:
        kind: which.
        axes: of the sample.
        keepdims: whether they stay, with length 1.
        count: how many numbers go into a sum; 1 for the other kinds.
    """

    kind: Literal["mean", "max", "min", "sum"]
    axes: tuple[int, ...]
    keepdims: bool
    count: int = 1

    @property
    def title(self) -> str:
        """Keras's name for it."""
        return _POOLS[self.kind]


@dataclass(frozen=True)
class Reshape(Op):
    """The same numbers in row-major order under another shape of the sample.

    The product of `source` and of `target` may differ by a whole factor: the rest of the
    axes have moved into the batch axis, or come from there.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True)
class Squeeze(Op):
    """Drops `axes`, which have length 1, from a sample."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class ExpandDims(Op):
    """Puts axes of length 1 into a sample; `axes` count in the result."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class Transpose(Op):
    """Axis i of the result is axis ``permutation[i]`` of the sample."""

    permutation: tuple[int, ...]


@dataclass(frozen=True)
class Select(Op):
    """Takes positions of a sample: cropping, slicing, tiling, repeating, reversing, mirroring.

    Attributes:
        name: what a person calls it.
        indices: for each axis of the sample the positions taken along it, or None for all.
        source: length of each axis before; None where it is not known and all is taken.
        dropped: axes of the sample that go away, of which one position is taken.
    """

    name: str
    indices: tuple[tuple[int, ...] | None, ...]
    source: Size
    dropped: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The op's name."""
        return self.name


@dataclass(frozen=True)
class SpaceToDepth(Op):
    """Moves squares of ``block x block`` pixels of ``[H, W, C]`` into the channels, or back.

    Channel ``(dy * block + dx) * C + c`` is channel c of the pixel at dy, dx of the square.
    """

    block: int
    inverse: bool = False

    @property
    def title(self) -> str:
        """TensorFlow's name for it."""
        return "DepthToSpace" if self.inverse else "SpaceToDepth"


@dataclass(frozen=True)
class Add(Op):
    """The sum of inputs of one shape, or the first less the second."""

    arity: int = 2
    subtracts: bool = False

    @property
    def title(self) -> str:
        """Keras's name for it."""
        return "Subtract" if self.subtracts else "Add"


@dataclass(frozen=True)
class Multiply(Op):
    """The product of two inputs, which may broadcast.

    Attributes:
        samples: shapes of one sample of both, of one rank.
        into: the port that a scale moves back to.
    """

    samples: tuple[Size, Size]
    into: int = 0


@dataclass(frozen=True)
class Extremum(Op):
    """The elementwise maximum or minimum of two inputs of one shape."""

    name: Literal["Maximum", "Minimum"]

    @property
    def title(self) -> str:
        """Keras's name for it."""
        return self.name


@dataclass(frozen=True)
class Concat(Op):
    """Joins inputs along `axis` of the sample; `sizes` are the lengths joined."""

    axis: int
    sizes: tuple[int, ...]
