"""Read a frozen TensorFlow graph as a graph of ops.

One op may stand for several nodes: a convolution and its bias, the multiplication and
addition of a normalization, the five nodes of a PReLU. Which nodes they are is kept, so
that what folding does not touch is written back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.errors import BadWeights
from foldbn.frontends.attribution import AFFINE_KINDS, Owner, owner_of
from foldbn.frontends.context import Context, Shape
from foldbn.frontends.frozen import FrozenModel, NodeDef, node_of, tensor_name
from foldbn.frontends.recognizers import RECOGNIZERS
from foldbn.graph import Graph, Node


@dataclass(frozen=True)
class Reading:
    """A graph of ops, and the TensorFlow nodes that each of its nodes stands for."""

    graph: Graph
    clusters: dict[str, tuple[NodeDef, ...]]


@dataclass
class _Group:
    """A node in the making, with the TensorFlow nodes it stands for."""

    op: ops.Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: list[NodeDef]
    owner: Owner

    def extend(self, reader: _Group, op: ops.Op) -> None:
        """Take in the one `reader` of this group's output; both together are `op`."""
        self.op, self.outputs = op, reader.outputs
        self.nodes = self.nodes + reader.nodes


def read(model: FrozenModel, shapes: dict[str, Shape | None]) -> Reading:
    """Return `model`, with its constants folded, as a graph of ops.

    Raises:
        BadWeights: a weight is NaN or infinite.
    """
    context = Context(model, shapes)
    _check_weights(model, context)
    written = _written_tensors(model)
    groups = [
        _recognize(node, model, context, written[node.name])
        for node in model.graph_def.node
        if node.op not in ("Const", "Placeholder")
    ]
    groups = _join_bias(_join_prelu(groups))
    groups = _join_arithmetic(groups)
    busy = {g.owner.scope for g in groups if not isinstance(g.op, ops.AffineOp | ops.Commuting)}
    nodes = [
        Node(
            name=group.nodes[-1].name,
            op=group.op,
            inputs=group.inputs,
            outputs=group.outputs,
            layer=group.owner.layer,
            kind=_kind(group, busy),
            sample=context.sample(group.outputs[0]),
        )
        for group in groups
    ]
    clusters = {group.nodes[-1].name: tuple(group.nodes) for group in groups}
    return Reading(Graph(nodes, [port.node for port in model.outputs]), clusters)


def _written_tensors(model: FrozenModel) -> dict[str, tuple[str, ...]]:
    """Return the tensors of each node: its first output, and whichever others are read."""
    written = {node.name: {node.name: None} for node in model.graph_def.node}
    for node in model.graph_def.node:
        for source in map(tensor_name, node.input):
            written[node_of(source)][source] = None
    return {name: tuple(tensors) for name, tensors in written.items()}


def _check_weights(model: FrozenModel, context: Context) -> None:
    for constant, layer in model.layers.variables.items():
        value = context.constant(constant)
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            what = "NaN" if np.isnan(value).any() else "infinity"
            raise BadWeights(
                f"layer {layer!r}: its weights, or what is computed from them, hold {what}",
                "retrain or repair it: a variance + epsilon <= 0 has no square root",
            )


def _recognize(
    node: NodeDef, model: FrozenModel, context: Context, outputs: tuple[str, ...]
) -> _Group:
    recognizer = RECOGNIZERS.get(node.op)
    owner = owner_of(node, model.layers)
    found = recognizer(node, context) if recognizer and len(outputs) == 1 else None
    op, inputs = found or (ops.Opaque(node.op), context.data(node))
    if isinstance(op, ops.AffineOp):
        if not all(np.isfinite(part).all() for part in op.affine.parts):
            raise BadWeights(f"layer {owner.layer!r}: its scale and shift are not finite")
        if not op.affine.has_scale and owner.by_variable and owner.kind not in AFFINE_KINDS:
            op = ops.Bias(op.affine.shift)
    return _Group(op, inputs, outputs, [node], owner)


def _kind(group: _Group, busy: set[str]) -> str:
    """Return what the report calls an affine layer; nothing for a part of another layer.

    Args:
        group: the node in question.
        busy: name scopes that hold more than arithmetic, like that of an activation.
    """
    owner = group.owner
    if not isinstance(group.op, ops.AffineOp) or owner.kind in AFFINE_KINDS:
        return owner.kind
    inside = owner.kind if owner.known else owner.scope and owner.scope in busy
    return "" if inside and not owner.by_variable else "Affine"


def _sole_readers(groups: list[_Group]) -> dict[str, _Group]:
    """Return, for each tensor that exactly one group reads, that group."""
    readers: dict[str, list[_Group]] = {}
    for group in groups:
        for tensor in group.inputs:
            readers.setdefault(tensor, []).append(group)
    return {tensor: found[0] for tensor, found in readers.items() if len(found) == 1}


def _join_bias(groups: list[_Group]) -> list[_Group]:
    """Give each linear layer the bias that is added to it alone."""
    sole = _sole_readers(groups)
    joined: list[_Group] = []
    for group in groups:
        reader = sole.get(group.outputs[0])
        if reader is not None and isinstance(reader.op, ops.Bias):
            whole = _with_bias(group.op, reader.op.bias)
            if whole is not None:
                group.extend(reader, whole)
                joined.append(reader)
    return _without(groups, joined)


def _with_bias(op: ops.Op, bias: Array) -> ops.Op | None:
    """Return a linear op with a bias of the sample's rank, or None where it cannot hold it."""
    if not isinstance(op, ops.Dense | ops.Conv) or op.bias is not None:
        return None
    axis = op.rank - 1 if isinstance(op, ops.Dense) else op.channel_axis
    if any(length != 1 for other, length in enumerate(bias.shape) if other != axis):
        return None
    match op:
        case ops.DepthwiseConv():
            channels = op.kernel.shape[-1] * op.kernel.shape[-2]
        case ops.ConvTranspose():
            channels = op.kernel.shape[-2]
        case _:
            channels = op.kernel.shape[-1]
    return replace(op, bias=np.broadcast_to(bias.ravel(), (channels,)))


def _join_arithmetic(groups: list[_Group]) -> list[_Group]:
    """Make one affine op of the multiplications and additions that one layer does in a row."""
    sole = _sole_readers(groups)
    joined: list[_Group] = []
    for group in groups:
        if any(group is other for other in joined):
            continue
        while (reader := sole.get(group.outputs[0])) is not None:
            first, second = _as_affine(group.op), _as_affine(reader.op)
            one_layer = reader.owner.layer == group.owner.layer
            if not one_layer or first is None or second is None:
                break
            both = isinstance(group.op, ops.Bias) and isinstance(reader.op, ops.Bias)
            total = second.after(first)
            group.extend(reader, ops.Bias(total.shift) if both else ops.AffineOp(total))
            joined.append(reader)
    return _without(groups, joined)


def _as_affine(op: ops.Op) -> Affine | None:
    match op:
        case ops.AffineOp(affine):
            return affine
        case ops.Bias(bias):
            return Affine(np.ones_like(bias), bias)
        case _:
            return None


def _join_prelu(groups: list[_Group]) -> list[_Group]:
    """Make one op of ``relu(x) + c * relu(-x)``, as Keras writes PReLU with ``c = -alpha``."""
    producers = {tensor: group for group in groups for tensor in group.outputs}
    sole = _sole_readers(groups)
    joined: list[_Group] = []
    for group in groups:
        if not isinstance(group.op, ops.Add) or len(group.inputs) != 2:
            continue
        halves = [producers.get(tensor) for tensor in group.inputs]
        positive, negative = (half for half in halves)
        chain = _negative_half(negative, producers)
        if positive is None or chain is None or positive.nodes[0].op != "Relu":
            continue
        members = [*chain, positive]
        private = all(sole.get(member.outputs[0]) is not None for member in members)
        if private and chain[0].inputs == positive.inputs:
            group.op, group.inputs = ops.relu("PReLU"), positive.inputs
            group.nodes = [node for member in members for node in member.nodes] + group.nodes
            joined += members
    return _without(groups, joined)


def _negative_half(last: _Group | None, producers: dict[str, _Group]) -> list[_Group] | None:
    """Return the nodes of ``c * relu(-x)`` in order, or None where `last` does not end it."""
    chain: list[_Group] = []
    for kind in ("Mul", "Relu", "Neg"):
        if last is None or last.nodes[0].op != kind or len(last.inputs) != 1:
            return None
        chain.insert(0, last)
        last = producers.get(last.inputs[0])
    return chain


def _without(groups: list[_Group], gone: list[_Group]) -> list[_Group]:
    missing = {id(group) for group in gone}
    return [group for group in groups if id(group) not in missing]
