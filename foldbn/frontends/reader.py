"""Read a frozen TensorFlow graph as a graph of ops.

One op may stand for several nodes: a convolution and its bias, the multiplication and
addition of a normalization, the five nodes of a PReLU. Which nodes they are is kept, so
that what folding does not touch is written back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.errors import BadWeights
from foldbn.frontends.attribution import AFFINE_KINDS, owner_of
from foldbn.frontends.context import Context, Shape
from foldbn.frontends.frozen import FrozenModel, NodeDef, node_of, tensor_name
from foldbn.frontends.gated import join_gated
from foldbn.frontends.groups import Group
from foldbn.frontends.joins import join_arithmetic, join_bias, join_prelu, join_steps
from foldbn.frontends.normalizations import HALVES
from foldbn.frontends.recognizers import LINEAR, RECOGNIZERS
from foldbn.frontends.recurrence import join_recurrence
from foldbn.frontends.selecting import SPLITS, split
from foldbn.frontends.windows import join_windows
from foldbn.graph import Graph, Node

_TOLD = AFFINE_KINDS + HALVES


@dataclass(frozen=True)
class Reading:
    """A graph of ops, and the TensorFlow nodes that each of its nodes stands for."""

    graph: Graph
    clusters: dict[str, tuple[NodeDef, ...]]


def read(model: FrozenModel, shapes: dict[str, Shape | None]) -> Reading:
    """Return `model`, with its constants folded, as a graph of ops.

    Raises:
        BadWeights: what is computed from a layer's weights is NaN or infinite.
    """
    context = Context(model, shapes)
    _check_weights(model, context)
    written = _written_tensors(model)
    groups = [
        group
        for node in model.graph_def.node
        if node.op not in ("Const", "Placeholder")
        for group in _recognize(node, model, context, written[node.name])
    ]
    for join in (join_prelu, join_gated, join_windows, join_recurrence, join_bias):
        groups = join(groups, context)
    for group in groups:
        _settle_bias(group)
    groups = join_steps(join_arithmetic(groups, context), context)
    busy = {g.owner.scope for g in groups if not isinstance(g.op, ops.AffineOp | ops.Commuting)}
    nodes = [
        Node(
            name=group.name,
            op=group.op,
            inputs=group.inputs,
            outputs=group.outputs,
            layer=group.owner.layer,
            kind=_kind(group, busy),
            optional=group.owner.kind in HALVES,
            weight=_weight(group),
            sample=context.sample(group.outputs[0]),
        )
        for group in groups
    ]
    clusters = {group.name: tuple(group.nodes) for group in groups}
    return Reading(Graph(nodes, [port.node for port in model.outputs]), clusters)


def _weight(group: Group) -> str:
    """Return the name of the constant that holds the kernel or table of a group."""
    for node in group.nodes:
        if node.op in LINEAR:
            return str(node_of(node.input[1]))
        if node.op == "GatherV2":
            return str(node_of(node.input[0]))
        if node.op == "Einsum":
            return next((node_of(i) for i in node.input if tensor_name(i) not in group.inputs), "")
    return ""


def _written_tensors(model: FrozenModel) -> dict[str, tuple[str, ...]]:
    """Return the outputs of each node that are read, or its first where none is."""
    read: dict[str, dict[str, None]] = {}
    for node in model.graph_def.node:
        for source in map(tensor_name, node.input):
            read.setdefault(node_of(source), {})[source] = None
    names = [str(node.name) for node in model.graph_def.node]
    return {name: tuple(read.get(name, (name,))) for name in names}


def _check_weights(model: FrozenModel, context: Context) -> None:
    """Refuse what is computed from weights, which are numbers themselves, and is none."""
    for constant, layer in model.layers.variables.items():
        value = context.constant(constant)
        if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
            what = "NaN" if np.isnan(value).any() else "infinity"
            raise BadWeights(
                f"layer {layer!r}: what is computed from its weights holds {what}",
                "a variance + epsilon <= 0 has no square root: retrain or repair the layer",
            )


def _recognize(
    node: NodeDef, model: FrozenModel, context: Context, outputs: tuple[str, ...]
) -> list[Group]:
    recognizer = RECOGNIZERS.get(node.op)
    owner = owner_of(node, model.layers)
    if node.op in SPLITS and (parts := split(node, context)) is not None:
        data = context.data(node)
        there = [(name, op) for name, op in parts if name in outputs]
        return [
            Group(op, data, (name,), [node] if number == 0 else [], owner)
            for number, (name, op) in enumerate(there)
        ]
    found = recognizer(node, context) if recognizer and outputs == (node.name,) else None
    op, inputs = found or (ops.Opaque(node.op), context.data(node))
    if isinstance(op, ops.AffineOp):
        if not all(np.isfinite(part).all() for part in op.affine.parts):
            if not owner.by_variable and owner.kind not in AFFINE_KINDS:
                return [Group(ops.Opaque(node.op), context.data(node), outputs, [node], owner)]
            raise BadWeights(f"layer {owner.layer!r}: its scale and shift are not finite")
        if not op.affine.has_scale and owner.by_variable and owner.kind not in _TOLD:
            op = ops.Bias(op.affine.shift)
    return [Group(op, inputs, outputs, [node], owner)]


def _settle_bias(group: Group) -> None:
    """Read a bias that no layer owns, and none has taken, as arithmetic with a constant."""
    owner = group.owner
    if isinstance(group.op, ops.Bias) and not owner.by_variable and not owner.known:
        group.op = ops.AffineOp(Affine(np.ones_like(group.op.bias), group.op.bias))


def _kind(group: Group, busy: set[str]) -> str:
    """Return what the report calls an affine layer; nothing for a part of another layer.

    Args:
        group: the node in question.
        busy: name scopes that hold more than arithmetic, like that of an activation.
    """
    owner = group.owner
    if not isinstance(group.op, ops.AffineOp) or owner.kind in _TOLD:
        return owner.kind
    inside = owner.kind if owner.known else owner.scope and owner.scope in busy
    return "" if inside and not owner.by_variable else "Affine"
