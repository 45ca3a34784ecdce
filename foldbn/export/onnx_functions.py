"""Write functions that ONNX has no op for in those that it has.

erfc(x) = 1 - erf(x)
expm1(x) = tanh(x / 2) * (exp(x) + 1), which loses no digit near zero
"""

from __future__ import annotations

from foldbn.export.functions import Writer, add, constant, written_out
from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef


def with_known_functions(model: FrozenModel) -> FrozenModel:
    """Return a float32 model without Erfc, which GELU needs, and Expm1, which CELU does."""
    return written_out(model, _WRITERS)


def _write_erfc(graph_def: GraphDef, node: NodeDef) -> None:
    (x,) = node.input
    one = constant(graph_def, node, "one", 1)
    add(graph_def, node, "", "Sub", one, add(graph_def, node, "erf", "Erf", x))


def _write_expm1(graph_def: GraphDef, node: NodeDef) -> None:
    (x,) = node.input
    one, half = (constant(graph_def, node, n, v) for n, v in (("one", 1), ("half", 0.5)))
    halved = add(graph_def, node, "halved", "Mul", x, half)
    power = add(graph_def, node, "power", "Exp", x)
    parts = (
        add(graph_def, node, "tanh", "Tanh", halved),
        add(graph_def, node, "more", "AddV2", power, one),
    )
    add(graph_def, node, "", "Mul", *parts)


_WRITERS: dict[str, Writer] = {
    "Erfc": _write_erfc,
    "Expm1": _write_expm1,
}
