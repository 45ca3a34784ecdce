"""Weights that several layers read: whether a fold may give one of them a copy of its own.

A copy of K numbers costs room once; the affine layer it saves costs N numbers with every
sample. The copy pays for itself if ``K <= 4096 * N``: a few thousand samples repay it.
"""

from __future__ import annotations

import math

from foldbn import ops
from foldbn.folding.travel import Journey, Stuck
from foldbn.graph import Graph, Node

_REPAID = 4096  # samples


def too_dear(graph: Graph, start: Node, journey: Journey) -> Stuck | None:
    """Return why a journey of the map of `start` copies too much, or None where it does not."""
    numbers = math.prod(length or 1 for length in start.sample or ())
    for name in journey.absorbed:
        node = graph[name]
        sharing = [other for other in graph if node.weight and other.weight == node.weight]
        apart = any(other.name not in journey.absorbed for other in sharing)
        size = _size(journey.edits[name])
        if apart and size > _REPAID * max(numbers, 1):
            return Stuck(
                f"{node.layer!r} shares its weights, and a copy of {size:,} numbers costs more"
                f" than the {numbers:,} of the affine layer"
            )
    return None


def _size(op: ops.Op) -> int:
    weight = op.table if isinstance(op, ops.Embedding) else getattr(op, "kernel", None)
    return 0 if weight is None else int(weight.size)
