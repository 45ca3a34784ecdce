"""Tell the zeros that are negative by arithmetic, where Keras looks at their bits.

Before an ArgMax or ArgMin Keras puts what is less than zero, and next to it, in the place of -0.0:

    is_negative_zero = (x == 0) and (bits(x) & 0x80000000) < 0
    y = argmax(where(is_negative_zero, -tiny, x))

No exporter has ops for the bits of floats. Of a zero alone the sign is that of its reciprocal, an
infinity, so the same is

    is_negative_zero = (x == 0) and 1 / x < 0

Where x is the sum with a constant, or a softmax, no zero is negative: a sum is -0.0 only if both
numbers are. There ``y = argmax(x)``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    node_of,
    numpy_type,
    prune,
    tensor_name,
)

_PASSING = ("Identity", "Reshape", "Transpose", "Squeeze", "ExpandDims")
_SUMS = ("Add", "AddV2", "BiasAdd")
_POSITIVE = ("Softmax", "Sigmoid", "Exp")


def without_bits(model: FrozenModel) -> FrozenModel:
    """Return `model` with no look at the bits of a zero."""
    if not any(node.op == "Bitcast" for node in model.graph_def.node):
        return model
    finder = _Finder(model)
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        zero = finder.negative_zero(node.name)
        if node.op == "SelectV2" and (x := finder.never_chosen(node)) is not None:
            same = graph_def.node.add(name=node.name, op="Identity", input=[x])
            same.attr["T"].CopyFrom(node.attr["T"])
        elif zero is not None:
            _write(graph_def, node, zero)
        else:
            graph_def.node.append(node)
    keep = tuple(port.node for port in model.outputs)
    return replace(model, graph_def=prune(graph_def, keep))


class _Finder:
    def __init__(self, model: FrozenModel) -> None:
        self._model = model
        self._nodes = {node.name: node for node in model.graph_def.node}

    def negative_zero(self, name: str) -> NodeDef | None:
        """Return the comparison of x with zero in a node that tells negative zeros."""
        both = self._node(name, "LogicalAnd")
        if both is None:
            return None
        equal, less = (
            self._node(source, kind)
            for source, kind in zip(both.input, ("Equal", "Less"), strict=True)
        )
        if equal is None or less is None:
            return None
        masked = self._node(less.input[0], "BitwiseAnd")
        bits = None if masked is None else self._node(masked.input[0], "Bitcast")
        if masked is None or bits is None:
            return None
        mask = self._number(masked.input[1])
        is_sign = mask is not None and mask == np.iinfo(mask.dtype).min
        zeros = [self._number(each.input[1]) for each in (equal, less)]
        about = self._node(bits.input[0], "Cast")  # to float64 and its bits
        x = bits.input[0] if about is None else about.input[0]
        same = tensor_name(x) == tensor_name(equal.input[0])
        return equal if is_sign and same and zeros == [0, 0] else None

    def never_chosen(self, choice: NodeDef) -> str | None:
        """Return x where a choice between it and another is by zeros that it does not have."""
        equal = self.negative_zero(choice.input[0])
        x = choice.input[2]
        if equal is None or tensor_name(equal.input[0]) != tensor_name(x):
            return None
        other = self._number(choice.input[1])
        return x if other is not None and self._has_none(x) else None

    def _has_none(self, tensor: str) -> bool:
        """Whether no zero of a tensor can be negative."""
        node = self._nodes[node_of(tensor)]
        while node.op in _PASSING:
            node = self._nodes[node_of(node.input[0])]
        if node.op in _SUMS:
            constants = [self._constant(source) for source in node.input]
            return any(
                each is not None and not (np.signbit(each) & (each == 0)).any()
                for each in constants
            )
        return node.op in _POSITIVE

    def _node(self, source: str, kind: str) -> NodeDef | None:
        node = self._nodes.get(node_of(source))
        return node if node is not None and node.op == kind else None

    def _number(self, source: str) -> Any:
        """Return a constant that is one number, None for other tensors."""
        value = self._constant(source)
        return None if value is None or value.size != 1 else value.reshape(())

    def _constant(self, source: str) -> Any:
        from tensorflow.python.framework import tensor_util

        node = self._node(source, "Const")
        if node is None or node.name in self._model.values:
            return None if node is None else self._model.values[node.name]
        return tensor_util.MakeNdarray(node.attr["value"].tensor)


def _write(graph_def: GraphDef, node: NodeDef, equal: NodeDef) -> None:
    """Write ``x == 0 and 1 / x < 0``."""
    kind = equal.attr["T"]
    one, zero, inverse, less = (f"{node.name}/{n}" for n in ("one", "zero", "inverse", "less"))
    dtype = numpy_type(kind.type)
    add_constant(graph_def, one, np.ones((), dtype))
    add_constant(graph_def, zero, np.zeros((), dtype))
    steps = [("RealDiv", inverse, [one, equal.input[0]]), ("Less", less, [inverse, zero])]
    for op, name, sources in steps:
        added = graph_def.node.add(name=name, op=op, input=sources)
        added.attr["T"].CopyFrom(kind)
    graph_def.node.add(name=node.name, op="LogicalAnd", input=[equal.name, less])
