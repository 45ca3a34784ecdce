"""Run samples in the batches that a model takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import Unsupported

Samples = dict[str, NDArray[Any]]
Outputs = dict[str, NDArray[Any]]


def run_in_batches(
    run: Callable[[Samples], Outputs], samples: Samples, sizes: tuple[int, ...]
) -> Outputs:
    """Return the outputs of `run` for all `samples`, called on batches of `sizes` in turn.

    A batch that the samples do not fill is padded with the first of it, and cut again.

    Raises:
        Unsupported: an output's leading axis is not the batch, or another one varies with it.
    """
    count = len(next(iter(samples.values())))
    pieces: list[Outputs] = []
    start = 0
    for size in itertools.cycle(sizes):
        if start >= count:
            break
        part = {name: array[start : start + size] for name, array in samples.items()}
        outputs = run({name: _padded(array, size) for name, array in part.items()})
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != size:
                raise Unsupported(
                    f"{name!r} has no batch axis: its shape is {array.shape} for a batch of {size}",
                    "foldbn takes models whose outputs have the batch as their first axis",
                )
            if pieces and array.shape[1:] != (first := pieces[0][name].shape)[1:]:
                raise Unsupported(
                    f"{name!r} varies with the batch in more than its first axis: its shapes are"
                    f" {first} and {array.shape}",
                    "foldbn takes models that compute each sample by itself",
                )
        own = min(size, count - start)
        pieces.append({name: array[:own] for name, array in outputs.items()})
        start += size
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(array)
    return np.concatenate([array, array[:1].repeat(missing, 0)]) if missing else array
