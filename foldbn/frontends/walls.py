"""Ops that let no affine map by, and why: what a user reads of a layer that stays."""

from __future__ import annotations

from foldbn import ops
from foldbn.frontends.context import Context, Recognized
from foldbn.frontends.frozen import NodeDef

_CURVES = (
    *("Sigmoid", "Tanh", "Softplus", "Softsign", "Elu", "Selu", "Softmax", "LogSoftmax"),
    *(
        "Exp",
        "Expm1",
        "Log",
        "Log1p",
        "Erf",
        "Erfc",
        "Square",
        "Sqrt",
        "Rsqrt",
        "Pow",
        "Sin",
        "Cos",
    ),
)
_COMPARISONS = ("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual")
_CHOICES = ("Select", "SelectV2", "ArgMax", "ArgMin", "TopKV2")

WALLS = {
    **{kind: f"{kind} is not linear" for kind in _CURVES},
    **{kind: f"{kind} compares values, which a map would change" for kind in _COMPARISONS},
    **{kind: f"{kind} chooses by values, which a map would change" for kind in _CHOICES},
    "Relu6": "ReLU6 clips at 6, and a map would move the clip",
    "ClipByValue": "clipping at constants does not move with a map",
}


def wall(node: NodeDef, context: Context) -> Recognized:
    """Read a node that lets nothing by."""
    return ops.Opaque(node.op, WALLS[node.op]), context.data(node)
