"""Inputs for a timed call: sizes for the axes a model leaves open, and seeded numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbn.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class InputSpec:
    """One declared input.

    Attributes:
        name: as the model has it.
        shape: its axes, batch first; None where the model leaves the size open.
        dtype: of its elements.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


def with_batch(
    specs: Sequence[InputSpec], batch_size: int | None
) -> tuple[tuple[InputSpec, ...], int]:
    """Fill open batch axes, and say how many samples one call then takes.

    Args:
        specs: the declared inputs.
        batch_size: samples per call; None keeps a fixed batch and takes 1 for an open one.

    Returns:
        The inputs, with every axis known, and the batch size.

    Raises:
        Unsupported: an axis other than the first is open, or every batch is fixed to a
            number other than `batch_size`.
    """
    filled = tuple(_fill(spec, batch_size or 1) for spec in specs)
    batches = [size for spec in filled for size in spec.shape[:1] if size]
    if batch_size is None:
        return filled, (batches or [1])[0]
    if batches and batch_size not in batches:
        raise Unsupported(
            f"input {filled[0].name!r} has a fixed batch of {batches[0]}, not {batch_size}",
            f"use a batch size of {batches[0]}, or export with a dynamic batch",
        )
    return filled, batch_size


def _fill(spec: InputSpec, batch_size: int) -> InputSpec:
    for axis, size in enumerate(spec.shape):
        if axis > 0 and size is None:
            shown = ", ".join("?" if known is None else str(known) for known in spec.shape)
            raise Unsupported(
                f"input {spec.name!r} leaves axis {axis} open: its shape is [{shown}]",
                "--no-bench converts it without timing; or give the model's input its lengths",
            )
    if spec.shape and spec.shape[0] is None:
        return replace(spec, shape=(batch_size, *spec.shape[1:]))
    return spec


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
