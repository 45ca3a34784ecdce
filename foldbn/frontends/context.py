"""What the recognizers may ask of the model around a node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn import ops
from foldbn.frontends.frozen import FrozenModel, NodeDef, node_of, tensor_name

Shape = tuple[int | None, ...]
Recognized = tuple[ops.Op, tuple[str, ...]]


class Context:
    """What recognizers may ask of the model around a node."""

    def __init__(self, model: FrozenModel, shapes: dict[str, Shape | None]) -> None:
        self._shapes = shapes
        self._known = model.values
        self._nodes = {node.name: node for node in model.graph_def.node}
        self._constants = {node.name: node for node in model.graph_def.node if node.op == "Const"}
        self._values: dict[str, NDArray[Any]] = {}
        self._functions = {each.signature.name: each for each in model.graph_def.library.function}

    def constant(self, reference: str) -> NDArray[Any] | None:
        """Return the value of a constant tensor, floats in float64; None for any other."""
        from tensorflow.python.framework import tensor_util

        name = node_of(reference)
        if name not in self._constants:
            return None
        if name not in self._values:
            value = self._known.get(name)
            if value is None:
                value = tensor_util.MakeNdarray(self._constants[name].attr["value"].tensor)
            wide = value.dtype.kind == "f"
            self._values[name] = value.astype(np.float64) if wide else value
        return self._values[name]

    def node(self, reference: str) -> NodeDef:
        """Return the node that writes a tensor."""
        return self._nodes[node_of(reference)]

    def function(self, name: str) -> Any:
        """Return a function of the graph's library, or None."""
        return self._functions.get(name)

    def sample(self, reference: str) -> Shape | None:
        """Return the shape of a tensor without its leading axis, None where unknown."""
        shape = self._shapes.get(tensor_name(reference))
        return shape[1:] if shape else None

    def data(self, node: NodeDef) -> tuple[str, ...]:
        """Return the inputs of `node` that are no constants."""
        names = (tensor_name(source) for source in node.input)
        return tuple(name for name in names if node_of(name) not in self._constants)
