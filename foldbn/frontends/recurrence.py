"""Recognize the loop of a recurrent layer, whose steps multiply their input with a kernel.

    Transpose -> (ReverseV2) -> TensorListFromTensor -> While

The last two are one op, on a tensor whose last axis is the channel, as a product needs it. The
body of the loop takes one step off the list and multiplies it with a kernel that stays the same;
the sum with the state's product gets the bias. All that is sought is that one product and that one
addition; whatever else the body does, it does with their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foldbn import ops
from foldbn.affine import Array
from foldbn.frontends.context import Context
from foldbn.frontends.frozen import NodeDef, node_of, tensor_name
from foldbn.frontends.groups import Group, sole_readers, without

LOOPS = ("While", "StatelessWhile")
_SAME = ("Identity", "ReadVariableOp")
_SUMS = ("Add", "AddV2")


@dataclass(frozen=True)
class Projection:
    """Where a loop multiplies its steps: numbers are those of the loop's inputs.

    Attributes:
        steps: the list of steps.
        kernel: the kernel, ``[in, out]``.
        bias: the bias, ``[out]`` or the first row of ``[2, out]``; None where there is none.
        product: the node that multiplies.
    """

    steps: int
    kernel: int
    bias: int | None
    product: NodeDef


def join_recurrence(groups: list[Group], context: Context) -> list[Group]:
    """Make one op of each loop over the steps of a sequence, with what makes a list of them."""
    producers = {tensor: group for group in groups for tensor in group.outputs}
    sole = sole_readers(groups)
    joined: list[Group] = []
    for group in groups:
        found = find_projection(group.nodes[-1], context) if group.kind in LOOPS else None
        if found is None:
            continue
        loop = group.nodes[-1]
        kernel = context.constant(loop.input[found.kernel])
        bias = None if found.bias is None else context.constant(loop.input[found.bias])
        steps = tensor_name(loop.input[found.steps])
        listed = producers.get(steps)
        made = listed is not None and listed.kind == "TensorListFromTensor"
        if kernel is None or kernel.ndim != 2 or listed is None or not made or steps not in sole:
            continue
        if bias is not None:
            bias = bias if bias.ndim == 1 else bias[0]
        group.op = ops.Recurrence(group.op.title, kernel=kernel, bias=bias)
        group.inputs = (listed.inputs[0], *(each for each in group.inputs if each != steps))
        group.nodes = listed.nodes + group.nodes
        joined.append(listed)
    return without(groups, joined)


def find_projection(loop: NodeDef, context: Context) -> Projection | None:
    """Return where a loop multiplies its steps, None where it does not do so plainly."""
    body = context.function(loop.attr["body"].func.name)
    return None if body is None else _Body(body).projection()


class _Body:
    """The function that a loop repeats; tensors are ``node:output:number`` or an argument."""

    def __init__(self, function: Any) -> None:
        self._arguments = [each.name for each in function.signature.input_arg]
        self._nodes = {node.name: node for node in function.node_def}
        self._readers: dict[str, list[NodeDef]] = {}
        for node in function.node_def:
            for source in node.input:
                if not source.startswith("^"):
                    self._readers.setdefault(self._root(source), []).append(node)
        results = [function.ret[each.name] for each in function.signature.output_arg]
        self._results = {self._root(result) for result in results}
        self._fixed = {
            number
            for number, (name, result) in enumerate(zip(self._arguments, results, strict=True))
            if self._root(result) == name
        }

    def _root(self, reference: str) -> str:
        """Return the argument or node behind a tensor, past nodes that hand it on."""
        name = node_of(reference)
        while name in self._nodes and self._nodes[name].op in _SAME:
            name = node_of(self._nodes[name].input[0])
        return name

    def _argument(self, reference: str) -> int | None:
        """Return the number of the unchanging argument that a tensor is."""
        root = self._root(reference)
        number = self._arguments.index(root) if root in self._arguments else None
        return number if number in self._fixed else None

    def projection(self) -> Projection | None:
        taken = [node for node in self._nodes.values() if node.op == "TensorListGetItem"]
        found = []
        for item in taken:
            steps = self._argument(item.input[0])
            readers = [r for r in self._readers.get(item.name, []) if r.op not in _SAME]
            if steps is None or len(readers) != 1 or readers[0].op != "MatMul":
                continue
            if item.name in self._results:
                continue
            product = readers[0]
            kernel = self._argument(product.input[1])
            turned = product.attr["transpose_a"].b or product.attr["transpose_b"].b
            if kernel is not None and not turned and self._root(product.input[0]) == item.name:
                found.append(Projection(steps, kernel, self._bias(product), product))
        once = [each for each in found if self._only_reader(each)]
        return once[0] if len(once) == 1 == len(found) else None

    def _only_reader(self, found: Projection) -> bool:
        """Whether the body reads list, kernel and bias in the one place that was found."""
        numbers = [found.steps, found.kernel] + ([] if found.bias is None else [found.bias])
        uses = [self._uses(self._arguments[number]) for number in numbers]
        return all(count == 1 for count in uses)

    def _uses(self, argument: str) -> int:
        return sum(reader.op not in _SAME for reader in self._readers.get(argument, []))

    def _bias(self, product: NodeDef) -> int | None:
        """Return the argument that is added to a product, or to its sum with others."""
        node = product
        while True:
            readers = [r for r in self._readers.get(node.name, []) if r.op not in _SAME]
            alone = len(readers) == 1 and node.name not in self._results
            if not alone or readers[0].op not in (*_SUMS, "BiasAdd"):
                return None
            others = [s for s in readers[0].input if self._root(s) != node.name]
            bias = self._bias_argument(others[0]) if len(others) == 1 else None
            if bias is not None or readers[0].op == "BiasAdd":
                return bias
            node = readers[0]

    def _bias_argument(self, reference: str) -> int | None:
        """Return the number of a bias; a GRU's is the first of the two halves of one."""
        whole = self._argument(reference)
        squeeze = self._nodes.get(self._root(reference))
        if whole is not None or squeeze is None or squeeze.op != "Squeeze":
            return whole
        split = self._nodes.get(self._root(squeeze.input[0]))
        first = squeeze.input[0].endswith(":output:0")
        if split is None or split.op != "Split" or not first:
            return None
        return self._argument(split.input[1])


def with_bias(constant: Array, bias: Array) -> Array:
    """Return the constant of a bias, ``[out]`` or ``[2, out]``, with another bias in it."""
    if constant.ndim == 1:
        return bias
    return np.stack([bias, constant[1]])
