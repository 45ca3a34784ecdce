"""An ONNX graph that can be edited: who writes and who reads each tensor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

NodeProto = Any
Size = tuple[int | None, ...]


class OnnxGraph:
    """The nodes of a graph, of which any may be edited, added or left unread.

    Args:
        proto: an ONNX model that holds no great weights: shapes are inferred on a copy of it.
        constants: graph inputs that stand for weights.

    Attributes:
        nodes: every node; those that nobody reads any more are gone after `close`.
        shapes: of each tensor whose rank is known, None for an open length.
        singles: the tensors that are known to hold float32 numbers.
    """

    def __init__(self, proto: Any, constants: Iterable[str]) -> None:
        self._graph = proto.graph
        self.nodes: list[NodeProto] = list(proto.graph.node)
        self._initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
        self.shapes, self.singles = _shapes_and_singles(proto)
        self._constants = {*self._initializers, *constants}
        self._producers: dict[str, NodeProto] = {}
        self._readers: dict[str, list[NodeProto]] = {}
        self._pinned = {value.name for value in proto.graph.output}
        for node in self.nodes:
            self._note(node)
            self._pinned.update(captured(node))

    def _note(self, node: NodeProto) -> None:
        self._producers.update(dict.fromkeys(node.output, node))
        for tensor in node.input:
            self._readers.setdefault(tensor, []).append(node)
        if node.input and all(self.is_constant(tensor) for tensor in node.input):
            self._constants.update(node.output)

    def producer(self, tensor: str, *kinds: str) -> NodeProto | None:
        """Return the node that writes `tensor`, or None where it is none of `kinds`."""
        node = self._producers.get(tensor)
        return node if node is not None and node.op_type in kinds else None

    def reader(self, tensor: str, *kinds: str) -> NodeProto | None:
        """Return the only node that reads `tensor`, or None where it is none of `kinds`."""
        readers = self._readers.get(tensor, [])
        if self.is_pinned(tensor) or len(readers) != 1 or readers[0].op_type not in kinds:
            return None
        return readers[0]

    def reads(self, tensor: str) -> int:
        """Return at how many places `tensor` is read."""
        return len(self._readers.get(tensor, []))

    def is_pinned(self, tensor: str) -> bool:
        """Whether `tensor` is an output of the model, or read within an If or a Loop."""
        return tensor in self._pinned

    def is_constant(self, tensor: str) -> bool:
        """Whether `tensor` is a weight, or computed from weights alone."""
        return tensor in self._constants

    def value(self, tensor: str) -> NDArray[Any] | None:
        """Return the numbers of a small constant, None for any other tensor."""
        import onnx

        found = self._initializers.get(tensor)
        return None if found is None else onnx.numpy_helper.to_array(found)

    def numbers(self, node: NodeProto, name: str, port: int) -> tuple[int, ...] | None:
        """Return integers that are an input of `node` or, in older opsets, an attribute."""
        listed = attribute(node, name, None)
        if listed is not None:
            return tuple(listed)
        given = self.value(node.input[port]) if len(node.input) > port else None
        return None if given is None else tuple(map(int, given.ravel()))

    def add(self, kind: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:
        """Add a node that writes `output`, or the first free name like it; return the name."""
        name = self._free(output)
        self.write(kind, inputs, name, **attributes)
        return name

    def write(self, kind: str, inputs: Iterable[str], output: str, **attributes: Any) -> None:
        """Add a node that writes `output`, which no other node writes any more."""
        import onnx

        node = onnx.helper.make_node(kind, list(inputs), [output], output, **attributes)
        self.nodes.append(node)
        self._note(node)

    def constant(self, value: NDArray[Any], name: str) -> str:
        """Add a small constant; return its name."""
        import onnx

        name = self._free(name)
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        self._initializers[name] = tensor
        self._constants.add(name)
        self.shapes[name] = value.shape
        self._graph.initializer.append(tensor)
        return name

    def reshaped(self, tensor: str, shape: tuple[int, ...]) -> str:
        """Return a constant with the numbers of `tensor` in another shape."""
        if self.shapes.get(tensor) == shape:
            return tensor
        value = self.value(tensor)
        if value is not None:
            return self.constant(value.reshape(shape), tensor)
        target = self.constant(np.array(shape, np.int64), f"{tensor}/shape")
        name = self.add("Reshape", [tensor, target], tensor)
        self.shapes[name] = shape
        return name

    def transposed(self, tensor: str, permutation: tuple[int, ...]) -> str:
        """Return a constant with the axes of `tensor` in another order."""
        shape = self.shapes[tensor]
        value = self.value(tensor)
        if value is not None:
            return self.constant(value.transpose(permutation), tensor)
        name = self.add("Transpose", [tensor], tensor, perm=permutation)
        self.shapes[name] = tuple(shape[axis] for axis in permutation)
        return name

    def set_input(self, node: NodeProto, port: int, tensor: str) -> None:
        """Let `node` read `tensor` at `port`, which may be the one after its last."""
        if port < len(node.input):
            self._readers[node.input[port]].remove(node)
            node.input[port] = tensor
        else:
            node.input.append(tensor)
        self._readers.setdefault(tensor, []).append(node)

    def become(self, node: NodeProto, kind: str, source: str, **attributes: Any) -> None:
        """Let a node be another op, of one input."""
        self.set_input(node, 0, source)
        del node.input[1:], node.attribute[:]
        node.op_type = kind
        set_attributes(node, **attributes)

    def set_output(self, node: NodeProto, tensor: str) -> None:
        """Let `node` write `tensor`, which another node has written until now."""
        node.output[0] = tensor
        self._producers[tensor] = node

    def redirect(self, old: str, new: str) -> None:
        """Let every reader of `old` read `new`."""
        for node in list(self._readers.get(old, [])):
            for port, tensor in enumerate(node.input):
                if tensor == old:
                    self.set_input(node, port, new)

    def live(self) -> list[NodeProto]:
        """Return the nodes that the pinned tensors need, in topological order."""
        ordered: dict[int, NodeProto] = {}
        outputs = [value.name for value in self._graph.output]
        stack = [(tensor, False) for tensor in reversed([*outputs, *sorted(self._pinned)])]
        while stack:
            tensor, done = stack.pop()
            node = self._producers.get(tensor)
            if node is None or id(node) in ordered:
                continue
            if done:
                ordered[id(node)] = node
                continue
            stack.append((tensor, True))
            wanted = [*node.input, *sorted(captured(node))]
            stack.extend((source, False) for source in reversed(wanted))
        return list(ordered.values())

    def close(self) -> None:
        """Write the live nodes back."""
        live = self.live()
        del self._graph.node[:], self._graph.value_info[:]
        self._graph.node.extend(live)

    def _free(self, name: str) -> str:
        """Return `name`, or the first like it that no tensor has, in the way of tf2onnx."""
        free, number = name, 0
        while free in self._producers or free in self._constants or free in self._readers:
            number += 1
            free = f"{name}_{number}"
        return free


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or `default` where it has none of that name."""
    import onnx

    for each in node.attribute:
        if each.name == name:
            return onnx.helper.get_attribute_value(each)
    return default


def set_attributes(node: NodeProto, **attributes: Any) -> None:
    """Set attributes of a node; None removes one."""
    import onnx

    others = [each for each in node.attribute if each.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(others)
    for name, value in attributes.items():
        if value is not None:
            node.attribute.append(onnx.helper.make_attribute(name, value))


def captured(node: NodeProto) -> set[str]:
    """Return what the graphs within an If or a Loop may read from around them."""
    graphs = [each.g for each in node.attribute if each.HasField("g")]
    inner = [node for graph in graphs for node in graph.node]
    names = {tensor for each in inner for tensor in each.input}
    names.update(value.name for graph in graphs for value in graph.output)
    return names.union(*map(captured, inner)) if inner else names


def _shapes_and_singles(proto: Any) -> tuple[dict[str, Size], set[str]]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(proto).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    shapes: dict[str, Size] = {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in value.type.tensor_type.shape.dim
        )
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return shapes, {name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT}
