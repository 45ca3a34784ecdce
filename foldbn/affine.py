"""The affine map that a BatchNormalization is at inference: ``y = scale * x + shift``.

Both arrays have the rank of one sample (the tensor without its leading, batch,
axis) and broadcast against it, so a map per channel over ``[H, W, C]`` holds
arrays of shape ``[1, 1, C]``. An axis of length 1 says: the same along this axis.
No axis number and no data format ever travels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """The map ``x -> scale * x + shift`` over one sample.

    Attributes:
        scale: float64, of the sample's rank.
        shift: float64, of the sample's rank; broadcasts with `scale`.
    """

    scale: Array
    shift: Array

    def __post_init__(self) -> None:
        if self.scale.ndim != self.shift.ndim:
            raise ValueError(f"ranks differ: scale {self.scale.shape}, shift {self.shift.shape}")

    @classmethod
    def of(cls, scale: ArrayLike, shift: ArrayLike, rank: int) -> Affine:
        """Make a map for samples of `rank` from arrays that broadcast against them."""
        return cls(_pad(scale, rank), _pad(shift, rank))

    @property
    def rank(self) -> int:
        """Rank of the samples the map acts on."""
        return self.scale.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `scale` and `shift` broadcast together."""
        return np.broadcast_shapes(self.scale.shape, self.shift.shape)

    @property
    def has_scale(self) -> bool:
        """Whether any element of `scale` is not one."""
        return bool(np.any(self.scale != 1))

    @property
    def has_shift(self) -> bool:
        """Whether any element of `shift` is not zero."""
        return bool(np.any(self.shift))

    @property
    def is_identity(self) -> bool:
        """Whether the map returns its argument."""
        return not (self.has_scale or self.has_shift)

    def __call__(self, x: Array) -> Array:
        """Return ``scale * x + shift`` for a batch ``[N, *sample]`` or one sample."""
        return self.scale * x + self.shift

    def after(self, first: Affine) -> Affine:
        """Return the map that does `first`, then this one.

        ``s2 * (s1 * x + t1) + t2 == (s2 * s1) * x + (s2 * t1 + t2)``
        """
        return Affine(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> Affine:
        """Return the map that undoes this one: ``x -> (x - shift) / scale``.

        Raises:
            ZeroDivisionError: a scale is zero.
        """
        if not self.scale.all():
            raise ZeroDivisionError("a map with a scale of zero cannot be undone")
        return Affine(1 / self.scale, -self.shift / self.scale)

    def equals(self, other: Affine) -> bool:
        """Whether both maps have the same numbers once broadcast."""
        pairs = zip(self.parts, other.parts, strict=True)
        return self.rank == other.rank and all(bool((a == b).all()) for a, b in pairs)

    @property
    def parts(self) -> tuple[Array, Array]:
        """`scale` and `shift`."""
        return self.scale, self.shift

    def compact(self) -> Affine:
        """Return the same map with length 1 on each axis along which nothing varies."""
        parts = np.broadcast_arrays(*self.parts)
        for axis in range(self.rank):
            firsts = [part.take([0], axis=axis) for part in parts]
            if all((part == first).all() for part, first in zip(parts, firsts, strict=True)):
                parts = tuple(firsts)
        return Affine(*parts)

    def expand(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Return `scale` and `shift`, both of `shape`."""
        return np.broadcast_to(self.scale, shape), np.broadcast_to(self.shift, shape)

    def varies_along(self, axes: tuple[int, ...]) -> bool:
        """Whether the map has more than one value along any of `axes` of the sample."""
        return any(self.shape[axis] != 1 for axis in axes)


def _pad(array: ArrayLike, rank: int) -> Array:
    values = np.asarray(array, np.float64)
    if values.ndim > rank:
        raise ValueError(f"a map of shape {values.shape} cannot act on samples of rank {rank}")
    return values.reshape((1,) * (rank - values.ndim) + values.shape)
