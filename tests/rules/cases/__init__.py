"""One example of every op, and which maps mathematics lets into it or past it.

The expectations are written by hand for each example.
"""

from __future__ import annotations

from foldbn import ops
from foldbn.affine import Affine
from tests.rules.cases.commuting import COMMUTING
from tests.rules.cases.expecting import Case, absorbs, bias_takes, blocks, normal
from tests.rules.cases.joining import JOINING
from tests.rules.cases.linear import CONVOLUTIONS, TRANSPOSED, dense
from tests.rules.cases.products import MORE_LINEAR
from tests.rules.cases.reindexing import REINDEXING, SELECTING

CASES = [
    *(dense(rank, bias=bias) for rank in (1, 2, 3) for bias in (True, False)),
    dense(2, 3),
    *CONVOLUTIONS,
    *TRANSPOSED,
    *COMMUTING,
    *REINDEXING,
    *SELECTING,
    *MORE_LINEAR,
    *JOINING,
    Case("Bias per channel", ops.Bias(normal(1, 3)), ((4, 3),), bias_takes, bias_takes),
    Case("Bias per element", ops.Bias(normal(4, 3)), ((4, 3),), bias_takes, bias_takes),
    Case(
        "AffineOp",
        ops.AffineOp(Affine(normal(1, 3), normal(1, 3))),
        ((4, 3),),
        absorbs(),
        absorbs(),
    ),
    Case("ShapeOf", ops.ShapeOf(), ((4, 3),), blocks, absorbs()),
    Case("Opaque", ops.Opaque("Sigmoid"), ((4, 3),), blocks, blocks),
]
