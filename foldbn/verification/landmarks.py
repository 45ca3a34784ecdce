"""Hold tensors inside the folded graph against the original's, where outputs tell little.

An output that is an arg-max, or a sigmoid that has saturated, stays the same whatever a wrong
fold does before it. But no map rests in front of an op that lets none by: what such an op
reads must be the same in both graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import VerificationFailed
from foldbn.frontends.frozen import FrozenModel
from foldbn.verification.metrics import NOT_PROVEN, TOLERANCE, distance

_MOST = 32


def landmarks_of(folded: FrozenModel, comparable: Callable[[str], bool]) -> dict[str, str]:
    """Return up to 32 tensors of the original, evenly chosen, and their names in `folded`.

    Args:
        folded: the folded graph.
        comparable: whether the original has a tensor of a name, and it holds floats.
    """
    pairs = sorted(pair for pair in folded.landmarks.items() if comparable(pair[0]))
    return dict(pairs[:: max(1, -(-len(pairs) // _MOST))])


def compare_landmarks(
    names: Sequence[str], wanted: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]
) -> int:
    """Return how many tensors were compared: those that are finite in the original.

    Raises:
        VerificationFailed: one is further off than float64 rounding.
    """
    compared = 0
    for name, exact, other in zip(names, wanted, found, strict=True):
        if exact.dtype != np.float64 or not exact.size or not np.isfinite(exact).all():
            continue
        compared += 1
        gap = distance(exact, other)
        if not gap.max_rel <= TOLERANCE:
            raise VerificationFailed(
                f"the folded graph differs in float64 at {name!r} by {gap.max_rel:.1e} of its"
                f" range, the algebra allows {TOLERANCE:.0e}",
                NOT_PROVEN,
            )
    return compared
