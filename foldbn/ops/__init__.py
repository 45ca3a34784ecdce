"""The operations foldbn understands, whatever framework they came from.

An op is a value: frozen, with its weights as float64 arrays. Rules return a changed
copy. Axes count over one sample (the tensor without its leading, batch, axis).
"""

from foldbn.ops.base import AffineOp, Bias, Op, Opaque, ShapeOf, Size
from foldbn.ops.commuting import (
    Commuting,
    average_pool,
    batch_to_space,
    identity,
    max_pool,
    relu,
    resize,
    space_to_batch,
    zero_pad,
)
from foldbn.ops.joining import Add, Concat, Extremum, Multiply, Stack
from foldbn.ops.linear import (
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    Einsum,
    Embedding,
    Recurrence,
)
from foldbn.ops.reindexing import (
    BatchTranspose,
    ExpandDims,
    GlobalPool,
    Reshape,
    Select,
    SpaceToDepth,
    Squeeze,
    Transpose,
)

__all__ = [
    "Add",
    "AffineOp",
    "BatchTranspose",
    "Bias",
    "Commuting",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DepthwiseConv",
    "Einsum",
    "Embedding",
    "ExpandDims",
    "Extremum",
    "GlobalPool",
    "Multiply",
    "Op",
    "Opaque",
    "Recurrence",
    "Reshape",
    "Select",
    "ShapeOf",
    "Size",
    "SpaceToDepth",
    "Squeeze",
    "Stack",
    "Transpose",
    "average_pool",
    "batch_to_space",
    "identity",
    "max_pool",
    "relu",
    "resize",
    "space_to_batch",
    "zero_pad",
]
