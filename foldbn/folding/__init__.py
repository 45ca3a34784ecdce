"""Plan where each affine map goes, and carry the plan out on a copy of the graph."""

from foldbn.folding.planner import Folding, fold

__all__ = ["Folding", "fold"]
