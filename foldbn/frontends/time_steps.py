"""Put the batch first again where Keras wrote a layer out once for each step of a sequence.

TimeDistributed and unrolled recurrent layers put the steps first, take each by itself, and
stack the results:

    Transpose -> StridedSlice [k]      becomes      StridedSlice [:, k]
    Transpose -> Unpack along 0        becomes      Unpack along 1
    Pack along 0 -> Transpose          becomes      Pack along 1

Maps act on samples, whose batch axis leads; and two transposes less are to be run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    node_of,
    prune,
    readers_of,
)

_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask")


def lead_with_batch(model: FrozenModel) -> FrozenModel:
    """Return `model`, its constants folded, with steps taken and stacked behind the batch axis."""
    turns = _Turns(model.graph_def)
    if not (turns.taken or turns.stacked):
        return model
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        turns.write(graph_def, node)
    keep = tuple(port.node for port in model.outputs)
    return replace(model, graph_def=prune(graph_def, keep))


class _Turns:
    """The transposes that stand before steps are taken, or after they are stacked.

    Attributes:
        taken: for each node that takes a step, what is behind the transpose it reads.
        stacked: for each transpose of stacked steps, the Pack it reads.
    """

    def __init__(self, graph_def: GraphDef) -> None:
        self._nodes = {node.name: node for node in graph_def.node}
        self._readers = readers_of(graph_def)
        self.taken: dict[str, str] = {}
        self.stacked: dict[str, NodeDef] = {}
        for node in graph_def.node:
            if node.op == "Transpose" and self._swaps_leading_axes(node):
                self._note(node)

    def _note(self, transpose: NodeDef) -> None:
        readers = self._readers.get(transpose.name, [])
        if readers and all(self._takes_step(reader) for reader in readers):
            self.taken.update((reader.name, transpose.input[0]) for reader in readers)
        pack = self._nodes[node_of(transpose.input[0])]
        alone = len(self._readers[pack.name]) == 1
        if pack.op == "Pack" and pack.attr["axis"].i == 0 and alone:
            self.stacked[transpose.name] = pack

    def _swaps_leading_axes(self, node: NodeDef) -> bool:
        order = self._constant(node.input[1])
        return order is not None and order.tolist() == [1, 0, *range(2, order.size)]

    def _takes_step(self, node: NodeDef) -> bool:
        if node.op == "Unpack":
            return bool(node.attr["axis"].i == 0)
        if node.op != "StridedSlice" or any(node.attr[mask].i for mask in _MASKS):
            return False
        begin = self._constant(node.input[1])
        return begin is not None and begin.size == 1 and bool(node.attr["shrink_axis_mask"].i)

    def _constant(self, reference: str) -> NDArray[Any] | None:
        from tensorflow.python.framework import tensor_util

        node = self._nodes[node_of(reference)]
        if node.op != "Const":
            return None
        value: NDArray[Any] = tensor_util.MakeNdarray(node.attr["value"].tensor)
        return value

    def write(self, graph_def: GraphDef, node: NodeDef) -> None:
        """Add `node` to a graph, in its new form where it has one."""
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        if node.name in self.stacked:
            copy.CopyFrom(self.stacked[node.name])
            copy.name = node.name
            copy.attr["axis"].i = 1
        elif node.name in self.taken and node.op == "Unpack":
            copy.input[0] = self.taken[node.name]
            copy.attr["axis"].i = 1
        elif node.name in self.taken:
            copy.input[0] = self.taken[node.name]
            self._write_slice(graph_def, copy)

    def _write_slice(self, graph_def: GraphDef, node: NodeDef) -> None:
        """Let a slice that took ``[k]`` take ``[:, k]``."""
        for place, first in ((1, 0), (2, 0), (3, 1)):
            value = self._constant(node.input[place])
            if value is None:
                raise TypeError(f"{node.name} takes a step that is not constant")
            name = f"{node.name}/{('begin', 'end', 'strides')[place - 1]}"
            add_constant(graph_def, name, np.array([first, value.item()], value.dtype))
            node.input[place] = name
        for mask, bits in (("begin_mask", 1), ("end_mask", 1), ("shrink_axis_mask", 2)):
            node.attr[mask].i = bits
