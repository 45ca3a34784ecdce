"""Let pointwise convolutions work where there are the fewest positions.

A convolution with a window of one mixes channels alone, average pooling and resizing mix
positions alone, and so either may come first; the bias as well, for a mean of equal numbers is
that number:

    mean(x) @ kernel + bias == mean(x @ kernel + bias)

After a pooling of 2x2 the convolution has a quarter of the work. DenseNet pools so after the
convolution of each of its transitions, which are 11 % of its multiplications. What the pooling
gains in channels is outweighed: docs/lowering.md has measurements.
"""

from __future__ import annotations

from dataclasses import replace

from foldbn import ops
from foldbn.graph import Graph, Node

_POOLED = 3.0  # multiplications of a convolution that one channel of a pooling is reckoned as


def reorder(graph: Graph) -> tuple[str, ...]:
    """Swap pointwise convolutions with means beside them in `graph`, where that saves work.

    Returns:
        The layers of the convolutions that were moved.
    """
    moved: dict[str, None] = {}
    while names := [node.name for node in graph if _swapped(graph, node)]:
        moved.update(dict.fromkeys(graph[name].layer for name in names))
    return tuple(moved)


def _swapped(graph: Graph, node: Node) -> bool:
    """Swap a pointwise convolution with the mean before or after it, where that saves work."""
    name, op = node.name, node.op
    if not isinstance(op, ops.Conv) or not _is_pointwise(op):
        return False
    if (mean := _mean_after(graph, graph[name], op)) is not None:
        graph.swap(name, mean.name)
    elif (mean := _mean_before(graph, graph[name], op)) is not None:
        graph.swap(mean.name, name)
    else:
        return False
    graph.replace(name, replace(op, input_size=(None,) * len(op.window)))
    return True


def _mean_after(graph: Graph, conv: Node, op: ops.Conv) -> Node | None:
    """Return the mean that a convolution had better follow, or None."""
    mean = _only_reader(graph, conv)
    return mean if mean is not None and _saves(op, mean, shrinks=True) else None


def _mean_before(graph: Graph, conv: Node, op: ops.Conv) -> Node | None:
    """Return the mean that a convolution had better come before, or None."""
    mean = graph.producer(conv.inputs[0])
    if mean is None or _only_reader(graph, mean) is not conv:
        return None
    return mean if _saves(op, mean, shrinks=False) else None


def _only_reader(graph: Graph, node: Node) -> Node | None:
    """Return the one node that reads `node`, where the model returns neither of their results."""
    if len(node.outputs) > 1 or graph.is_output(node.output):
        return None
    names = [edge.node for edge in graph.readers(node.output)]
    reader = graph[names[0]] if len(names) == 1 else None
    if reader is None or len(reader.outputs) > 1 or graph.is_output(reader.output):
        return None
    return reader


def _is_pointwise(op: ops.Conv) -> bool:
    # The nodes of what is dilated may have its lengths in them.
    steps = {*op.window, *op.strides, *op.dilations}
    return type(op) is ops.Conv and steps == {1} and op.pads is False


def _saves(conv: ops.Conv, mean: Node, *, shrinks: bool) -> bool:
    """Whether the multiplications that a swap saves outweigh the channels that the mean gains.

    A resizing is too dear for any.
    """
    match mean.op:
        case ops.Commuting(growth=float(growth), uniform_axes=axes):
            pass
        case _:
            return False
    if conv.channel_axis in axes or (growth < 1) != shrinks or growth == 1:
        return False
    channels: int = conv.kernel.shape[-2] * conv.groups
    results: int = conv.kernel.shape[-1]
    saved: float = conv.kernel.size * (1 - min(growth, 1 / growth))
    return saved > _POOLED * (channels - results) if shrinks else results <= channels
