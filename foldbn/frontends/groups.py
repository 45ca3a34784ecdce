"""Nodes in the making: each may come to stand for several TensorFlow nodes."""

from __future__ import annotations

from dataclasses import dataclass

from foldbn import ops
from foldbn.frontends.attribution import Owner
from foldbn.frontends.frozen import NodeDef


@dataclass
class Group:
    """A node in the making, with the TensorFlow nodes it stands for.

    A further output of a node that is written already stands for none.
    """

    op: ops.Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: list[NodeDef]
    owner: Owner

    @property
    def name(self) -> str:
        """The name of its last node, which is that of its tensor where there is none."""
        return str(self.nodes[-1].name) if self.nodes else self.outputs[0]

    @property
    def kind(self) -> str:
        """TensorFlow's name for the first of its nodes."""
        return str(self.nodes[0].op) if self.nodes else ""

    def extend(self, reader: Group, op: ops.Op) -> None:
        """Take in the one `reader` of this group's output; both together are `op`."""
        self.op, self.outputs = op, reader.outputs
        self.nodes = self.nodes + reader.nodes


def sole_readers(groups: list[Group]) -> dict[str, Group]:
    """Return, for each tensor that exactly one group reads, that group."""
    readers: dict[str, list[Group]] = {}
    for group in groups:
        for tensor in group.inputs:
            readers.setdefault(tensor, []).append(group)
    return {tensor: found[0] for tensor, found in readers.items() if len(found) == 1}


def without(groups: list[Group], gone: list[Group]) -> list[Group]:
    """Return `groups` but those that are `gone`."""
    missing = {id(group) for group in gone}
    return [group for group in groups if id(group) not in missing]
