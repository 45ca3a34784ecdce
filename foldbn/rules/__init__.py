"""The algebra: how each op treats an affine map at its output or at its inputs."""

from foldbn.rules import commuting, einsum, joining, linear, pooling, reindexing, selecting
from foldbn.rules.table import Absorbs, Blocks, Outcome, Passes, backward, forward

__all__ = [
    "Absorbs",
    "Blocks",
    "Outcome",
    "Passes",
    "backward",
    "commuting",
    "einsum",
    "forward",
    "joining",
    "linear",
    "pooling",
    "reindexing",
    "selecting",
]
