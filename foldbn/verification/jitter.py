"""How far a model's outputs move when its inputs do so by less than float32 can tell.

The inputs are shaken at random, so a figure of few numbers is a guess:

    jitter = sqrt(mean over tries of (f(x * (1 + 2 * ulp * r)) - f(x))^2),   r uniform in [-1, 1)

The root mean square over many outputs is steady after one try, that of one output after some.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.verification.batches import Outputs, Samples

MANY_TRIES = 8  # steady for each number by itself
_ENOUGH, _TRIES = 1024, 3
_UNITS = 2 * float(np.finfo(np.float32).eps)


def jitter_of(
    evaluate: Callable[[Samples], Outputs],
    samples: Samples,
    exact: Outputs,
    tries: int | None = None,
) -> Outputs:
    """Return how far each output moves when the inputs are off by what float32 cannot tell.

    Args:
        evaluate: the model in float64.
        samples: its inputs.
        exact: what it computes of them.
        tries: how often they are shaken; by default once, or thrice for an output of few numbers.
    """
    rng = np.random.default_rng(0)
    moved = {name: np.zeros(array.shape) for name, array in exact.items()}
    if tries is None:
        tries = 1 if all(array.size >= _ENOUGH for array in exact.values()) else _TRIES
    for _ in range(tries):
        shaken = {
            name: _shaken(rng, array) if array.dtype.kind == "f" else array
            for name, array in samples.items()
        }
        for name, array in evaluate(shaken).items():
            moved[name] += np.square(array.astype(np.float64) - exact[name]) / tries
    return {name: np.sqrt(array) for name, array in moved.items()}


def _shaken(rng: np.random.Generator, array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers a little off: whole ones away from zero, so that a row stays the same row."""
    off = rng.uniform(-1, 1, array.shape)
    return array * (1 + _UNITS * np.where(array == np.trunc(array), np.abs(off), off))
