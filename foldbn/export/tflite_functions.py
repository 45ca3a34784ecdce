"""Write softplus for TFLite so that it does not overflow.

The converter writes log(1 + exp(x)), which is infinite from x = 89 on.

    softplus(x) = max(x, 0) - log(sigmoid(|x|))

holds everywhere, for log(1 + exp(x)) == x + log(1 + exp(-x)) and sigmoid(x) == 1 / (1 + exp(-x));
the logarithm is one of a number between a half and one. Mish, x * tanh(softplus(x)), keeps the
converter's form: a tanh makes 1 of what is infinite.
"""

from __future__ import annotations

from foldbn.export.functions import add, written_out
from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef, readers_of


def with_finite_functions(model: FrozenModel) -> FrozenModel:
    """Return a float32 model whose softplus, outside loops, is finite wherever its input is."""
    readers = readers_of(model.graph_def)

    def write(graph_def: GraphDef, node: NodeDef) -> None:
        if {reader.op for reader in readers.get(node.name, ())} == {"Tanh"}:
            graph_def.node.add().CopyFrom(node)
        else:
            _write_softplus(graph_def, node)

    return written_out(model, {"Softplus": write})


def _write_softplus(graph_def: GraphDef, node: NodeDef) -> None:
    (x,) = node.input
    size = add(graph_def, node, "size", "Abs", x)
    log = add(graph_def, node, "log", "Log", add(graph_def, node, "sigmoid", "Sigmoid", size))
    add(graph_def, node, "", "Sub", add(graph_def, node, "above", "Relu", x), log)
