"""Tell whether two tensors that are computed from lengths are equal whatever the lengths are.

A dilated convolution of open lengths pads by ``zeros + (-n % block)`` and cuts away ``-n % block``.
"""

from __future__ import annotations

from foldbn.frontends.context import Context
from foldbn.frontends.frozen import NodeDef, tensor_name

# What computes margins; none of these gives other numbers when it is called again.
_COMPUTES = ("AddV2", "Add", "Sub", "FloorMod", "Pack", "Shape", "StridedSlice", "Cast")


def always_equal(context: Context, one: str, other: str) -> bool:
    """Whether the nodes before two tensors compute the same, additions of zeros aside."""
    pairs = [(one, other)]
    while pairs:
        left, right = (_beyond_zeros(context, each) for each in pairs.pop())
        if left == right:
            continue
        values = context.constant(left), context.constant(right)
        if values[0] is not None and values[1] is not None:
            if values[0].shape != values[1].shape or (values[0] != values[1]).any():
                return False
            continue
        nodes = context.node(left), context.node(right)
        if nodes[0].op not in _COMPUTES or _kind(nodes[0]) != _kind(nodes[1]):
            return False
        pairs += zip(nodes[0].input, nodes[1].input, strict=True)
    return True


def _beyond_zeros(context: Context, reference: str) -> str:
    """Return what a tensor is but for zeros that are added to it."""
    node = context.node(reference)
    while node.op in ("AddV2", "Add"):
        values = [context.constant(source) for source in node.input]
        zeros = [value is not None and not value.any() for value in values]
        if True not in zeros:
            break
        reference = node.input[1 - zeros.index(True)]
        node = context.node(reference)
    return tensor_name(reference)


def _kind(node: NodeDef) -> tuple[str, int, dict[str, bytes]]:
    attributes = {
        name: value.SerializeToString()
        for name, value in node.attr.items()
        if not name.startswith("_")
    }
    return node.op, len(node.input), attributes
