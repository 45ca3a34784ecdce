"""What float32 may make of functions that go towards zero, written into a float64 graph.

Runtimes compute a sigmoid, a softplus and the complement of the error function from what is as
large as one: ``1 - erf(x)``, ``log(1 + exp(x))``, or a quotient of polynomials. Far from the middle
the result is small and its error is not: half a unit of one, u = 2^-24, whatever the original's
own formula may be there. GELU, SiLU and Mish multiply it by x.

    gelu(x) = x / 2 * erfc(-x / sqrt(2))
    silu(x) = x * sigmoid(x)
    mish(x) = x * tanh(softplus(x))
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn.frontends.frozen import FrozenModel, add_constant, empty_like

_U = float(np.finfo(np.float32).eps) / 2
_FUNCTIONS = ("Sigmoid", "Softplus", "Erfc")


def with_rough_tails(model: FrozenModel) -> FrozenModel | None:
    """Return a float64 graph in which such functions are off by 2^-24.

    Args:
        model: the graph, in float64.

    Returns:
        None where there are no such functions.
    """
    if not any(node.op in _FUNCTIONS for node in model.graph_def.node):
        return None
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        if node.op in _FUNCTIONS:
            copy.name = f"{node.name}/tail"
            unit = add_constant(graph_def, f"{node.name}/unit", np.array(_U))
            rough = graph_def.node.add(name=node.name, op="AddV2", input=[copy.name, unit.name])
            rough.attr["T"].CopyFrom(node.attr["T"])
    return replace(model, graph_def=graph_def)
