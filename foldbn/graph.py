"""A model seen as ops joined by tensors: all that folding knows of a framework."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from foldbn.ops import Op, Size


@dataclass(frozen=True, eq=False)
class Node:
    """One op at its place in a model.

    Attributes:
        name: unique in the graph.
        op: what it computes.
        inputs: the tensors it reads, in the order of the op's ports.
        outputs: the tensors it writes; every op but Opaque writes one.
        layer: name of the model's layer that it belongs to.
        kind: class of that layer, like ``BatchNormalization``.
        sample: shape of one sample of its first output, None where it is not known.
        optional: whether it is the affine half of a layer that is not affine as a whole, and
            worth a word only if it goes.
        weight: name of the kernel or table it reads, which other nodes may read as well.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layer: str
    kind: str = ""
    sample: Size | None = None
    optional: bool = False
    weight: str = ""

    @property
    def output(self) -> str:
        """The one tensor it writes."""
        (tensor,) = self.outputs
        return tensor


@dataclass(frozen=True)
class Edge:
    """A place where a tensor is read: port `port` of node `node`."""

    node: str
    port: int


class Graph:
    """Nodes in topological order, and who reads what.

    Args:
        nodes: in topological order.
        outputs: tensors the model returns. A tensor that no node writes is a model input.
    """

    def __init__(self, nodes: Iterable[Node], outputs: Iterable[str]) -> None:
        self.outputs = tuple(outputs)
        self._take(nodes)

    def _take(self, nodes: Iterable[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._producers: dict[str, str] = {}
        self._readers: dict[str, list[Edge]] = {}
        for node in self:
            self._producers.update(dict.fromkeys(node.outputs, node.name))
            for port, tensor in enumerate(node.inputs):
                self._readers.setdefault(tensor, []).append(Edge(node.name, port))

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self._nodes.values()))

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def copy(self) -> Graph:
        """Return a graph that can be edited without changing this one."""
        return Graph(self, self.outputs)

    def producer(self, tensor: str) -> Node | None:
        """Return the node that writes `tensor`, or None for a model input."""
        name = self._producers.get(tensor)
        return None if name is None else self._nodes[name]

    def readers(self, tensor: str) -> tuple[Edge, ...]:
        """Return every place where a node reads `tensor`."""
        return tuple(self._readers.get(tensor, ()))

    def is_output(self, tensor: str) -> bool:
        """Whether the model returns `tensor`."""
        return tensor in self.outputs

    def replace(self, name: str, op: Op) -> None:
        """Let node `name` compute `op`."""
        self._nodes[name] = replace(self._nodes[name], op=op)

    def bypass(self, name: str) -> None:
        """Remove a node of one input, and let its readers read that input.

        Raises:
            ValueError: the model returns the node's output under its own name.
        """
        node = self._nodes[name]
        (source,) = node.inputs
        if self.is_output(node.output):
            raise ValueError(f"{name} writes a model output and cannot be removed")
        del self._nodes[name], self._producers[node.output]
        moved = self._readers.pop(node.output, [])
        kept = [edge for edge in self._readers[source] if edge.node != name]
        self._readers[source] = kept + moved
        for edge in moved:
            reader = self._nodes[edge.node]
            inputs = tuple(source if t == node.output else t for t in reader.inputs)
            self._nodes[edge.node] = replace(reader, inputs=inputs)

    def swap(self, name: str, following: str, port: int = 0) -> None:
        """Let `following`, the one reader of `name`, work on what `name` reads at `port` instead.

        Raises:
            ValueError: another node reads what one of the two writes in between, or the model
                returns it.
        """
        first, second = self._nodes[name], self._nodes[following]
        source = first.inputs[port]
        between, result = first.output, second.output
        if self.readers(between) != (Edge(following, 0),) or self.is_output(between):
            raise ValueError(f"{following} is not all that reads {name}")
        if self.is_output(result):
            raise ValueError(f"{following} writes a model output and must stay the last")
        inputs = (*first.inputs[:port], result, *first.inputs[port + 1 :])
        first = replace(first, inputs=inputs, sample=second.sample)
        second = replace(second, inputs=(source,), sample=None)
        order = []
        for node in self:
            if node.name == following:
                order += [second, first]
            elif node.name != name:
                inputs = tuple(between if tensor == result else tensor for tensor in node.inputs)
                order.append(node if inputs == node.inputs else replace(node, inputs=inputs))
        self._take(order)
