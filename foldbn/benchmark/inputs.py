"""Inputs for a timed call: sizes for the axes a model leaves open, and seeded numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbn.bounds import UNKNOWN_LENGTH
from foldbn.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Shape = tuple[int | None, ...]
    # Shapes of inputs by name, batch first, None for a size that nobody gives.
    Lengths = Mapping[str, Shape]


@dataclass(frozen=True)
class InputSpec:
    """One declared input.

    Attributes:
        name: as the model has it.
        shape: its axes, batch first; None where the model leaves the size open.
        dtype: of its elements.
    """

    name: str
    shape: Shape
    dtype: np.dtype[Any]


def with_sizes(
    specs: Sequence[InputSpec], batch_size: int | None, lengths: Lengths
) -> tuple[tuple[InputSpec, ...], int]:
    """Fill open axes, and say how many samples one call then takes.

    Args:
        specs: the declared inputs.
        batch_size: samples per call; None keeps a fixed batch and takes 1 for an open one.
        lengths: for axes that are open besides the batch; 32 for each that it does not know.

    Returns:
        The inputs, with every axis known, and the batch size.

    Raises:
        Unsupported: every batch is fixed to a number other than `batch_size`.
    """
    filled = tuple(_fill(spec, batch_size or 1, lengths) for spec in specs)
    batches = [size for spec in filled for size in spec.shape[:1] if size]
    if batch_size is None:
        return filled, (batches or [1])[0]
    if batches and batch_size not in batches:
        raise Unsupported(
            f"input {filled[0].name!r} has a fixed batch of {batches[0]}, not {batch_size}",
            f"use a batch size of {batches[0]}, or export with a dynamic batch",
        )
    return filled, batch_size


def _fill(spec: InputSpec, batch_size: int, lengths: Lengths) -> InputSpec:
    known = lengths.get(spec.name, ())
    if len(known) != len(spec.shape):  # of a file whose input has the same name only
        known = (None,) * len(spec.shape)
    shape = tuple(
        (length or UNKNOWN_LENGTH if axis else batch_size) if own is None else own
        for axis, (own, length) in enumerate(zip(spec.shape, known, strict=True))
    )
    return replace(spec, shape=shape)


def leave_lengths_open(specs: Sequence[InputSpec]) -> bool:
    """Whether an axis other than the batch has no size of its own."""
    return any(size is None for spec in specs for size in spec.shape[1:])


def told(specs: Sequence[InputSpec]) -> str:
    """Return the names and shapes of inputs in words."""
    return ", ".join(f"{spec.name!r} {list(spec.shape)}" for spec in specs)


def random_arrays(specs: Sequence[InputSpec], seed: int) -> dict[str, NDArray[Any]]:
    """Draw one array for each input: the same seed and specs give the same numbers.

    Floats are standard normal. Integers are 0 or 1, which is a valid index into any table
    of two rows or more; a larger range would send an embedding out of bounds.

    Args:
        specs: inputs with every axis known.
        seed: of the generator.

    Returns:
        Arrays by input name.

    Raises:
        Unsupported: an input's elements are no numbers.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _draw(spec, rng) for spec in specs}


def _draw(spec: InputSpec, rng: np.random.Generator) -> NDArray[Any]:
    shape = tuple(size or 0 for size in spec.shape)
    if spec.dtype.kind == "f":
        return rng.standard_normal(shape).astype(spec.dtype)
    if spec.dtype.kind in "iub":
        return rng.integers(0, 2, shape).astype(spec.dtype)
    raise Unsupported(
        f"input {spec.name!r} holds {spec.dtype.name}, which foldbn cannot make up",
        "bench times models whose inputs are numbers",
    )
