"""Write functions that ONNX has no op for in those that it has.

erfc(x) = 1 - erf(x)
expm1(x) = tanh(x / 2) * (exp(x) + 1), which loses no digit near zero
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef, add_constant, empty_like


def with_known_functions(model: FrozenModel) -> FrozenModel:
    """Return a float32 model without Erfc, which GELU needs, and Expm1, which CELU does."""
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        write = _WRITERS.get(node.op)
        if write is None:
            graph_def.node.add().CopyFrom(node)
        else:
            write(graph_def, node)
    return replace(model, graph_def=graph_def)


def _write_erfc(graph_def: GraphDef, node: NodeDef) -> None:
    (x,) = node.input
    one = _constant(graph_def, node, "one", 1)
    _add(graph_def, node, "", "Sub", one, _add(graph_def, node, "erf", "Erf", x))


def _write_expm1(graph_def: GraphDef, node: NodeDef) -> None:
    (x,) = node.input
    one, half = (_constant(graph_def, node, n, v) for n, v in (("one", 1), ("half", 0.5)))
    halved = _add(graph_def, node, "halved", "Mul", x, half)
    power = _add(graph_def, node, "power", "Exp", x)
    parts = (
        _add(graph_def, node, "tanh", "Tanh", halved),
        _add(graph_def, node, "more", "AddV2", power, one),
    )
    _add(graph_def, node, "", "Mul", *parts)


_WRITERS: dict[str, Callable[[GraphDef, NodeDef], None]] = {
    "Erfc": _write_erfc,
    "Expm1": _write_expm1,
}


def _constant(graph_def: GraphDef, like: NodeDef, part: str, value: float) -> str:
    return str(add_constant(graph_def, f"{like.name}/{part}", np.array(value, np.float32)).name)


def _add(graph_def: GraphDef, like: NodeDef, part: str, kind: str, *inputs: str) -> str:
    """Add a node for a part of `like`, by its own name for the last; return the name."""
    name = f"{like.name}/{part}" if part else like.name
    node = graph_def.node.add(name=name, op=kind, input=inputs)
    node.attr["T"].CopyFrom(like.attr["T"])
    return name
