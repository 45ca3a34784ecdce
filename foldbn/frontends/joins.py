"""Join TensorFlow nodes that are one op: a layer and its bias, scale and shift, a PReLU, steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.frontends.context import Context
from foldbn.frontends.groups import Group, sole_readers, without


def join_bias(groups: list[Group], _: Context) -> list[Group]:
    """Give each linear layer the bias that is added to it alone."""
    sole = sole_readers(groups)
    joined: list[Group] = []
    for group in groups:
        reader = sole.get(group.outputs[0])
        if reader is not None and isinstance(reader.op, ops.Bias):
            whole = _with_bias(group.op, reader.op.bias)
            if whole is not None:
                group.extend(reader, whole)
                joined.append(reader)
    return without(groups, joined)


def _with_bias(op: ops.Op, bias: Array) -> ops.Op | None:
    """Return a linear op with a bias of the sample's rank, or None where it cannot hold it."""
    if isinstance(op, ops.Einsum) and op.bias is None:
        return replace(op, bias=bias)
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


def join_arithmetic(groups: list[Group], _: Context) -> list[Group]:
    """Make one affine op of the multiplications and additions that one layer does in a row."""
    sole = sole_readers(groups)
    joined: list[Group] = []
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
    return without(groups, joined)


def _as_affine(op: ops.Op) -> Affine | None:
    match op:
        case ops.AffineOp(affine):
            return affine
        case ops.Bias(bias):
            return Affine(np.ones_like(bias), bias)
        case _:
            return None


def join_prelu(groups: list[Group], _: Context) -> list[Group]:
    """Make one op of ``relu(x) + c * relu(-x)``, as Keras writes PReLU with ``c = -alpha``."""
    producers = {tensor: group for group in groups for tensor in group.outputs}
    sole = sole_readers(groups)
    joined: list[Group] = []
    for group in groups:
        if not isinstance(group.op, ops.Add) or len(group.inputs) != 2:
            continue
        halves = [producers.get(tensor) for tensor in group.inputs]
        positive, negative = (half for half in halves)
        chain = _negative_half(negative, producers)
        if positive is None or chain is None or positive.kind != "Relu":
            continue
        members = [*chain, positive]
        private = all(sole.get(member.outputs[0]) is not None for member in members)
        if private and chain[0].inputs == positive.inputs:
            group.op, group.inputs = ops.relu("PReLU"), positive.inputs
            group.nodes = [node for member in members for node in member.nodes] + group.nodes
            joined += members
    return without(groups, joined)


def _negative_half(last: Group | None, producers: dict[str, Group]) -> list[Group] | None:
    """Return the nodes of ``c * relu(-x)`` in order, or None where `last` does not end it."""
    chain: list[Group] = []
    for kind in ("Mul", "Relu", "Neg"):
        if last is None or last.kind != kind or len(last.inputs) != 1:
            return None
        chain.insert(0, last)
        last = producers.get(last.inputs[0])
    return chain


def join_steps(groups: list[Group], _: Context) -> list[Group]:
    """Make one affine op of the same map at every step, as TimeDistributed writes it out."""
    producers = {tensor: group for group in groups for tensor in group.outputs}
    sole = sole_readers(groups)
    joined: list[Group] = []
    for group in groups:
        if not isinstance(group.op, ops.Stack):
            continue
        maps = [producers.get(tensor) for tensor in group.inputs]
        steps = [each and producers.get(each.inputs[0]) for each in maps if each is not None]
        members = [each for each in (*steps, *maps) if each is not None]
        private = all(sole.get(each.outputs[0]) is not None for each in members)
        affine = _same_map(maps)
        if affine is None or not private or not _all_steps(steps, group.op):
            continue
        wide = [np.expand_dims(part, group.op.axis) for part in affine.parts]
        group.op, group.inputs = ops.AffineOp(Affine(*wide)), members[0].inputs
        group.nodes = [node for each in members for node in each.nodes] + group.nodes
        group.owner = members[-1].owner
        joined += members
    return without(groups, joined)


def _same_map(maps: list[Group | None]) -> Affine | None:
    """Return the map of all `maps`, None where one is none or another."""
    found = [each.op.affine for each in maps if each and isinstance(each.op, ops.AffineOp)]
    same = len(found) == len(maps) and all(each.equals(found[0]) for each in found)
    return found[0] if same else None


def _all_steps(steps: list[Group | None], stack: ops.Stack) -> bool:
    """Whether `steps` are all positions of one tensor along the axis of `stack`, in order."""
    for number, each in enumerate(steps):
        if each is None or not isinstance(each.op, ops.Select):
            return False
        taken = [(axis, one) for axis, one in enumerate(each.op.indices) if one is not None]
        if taken != [(stack.axis, (number,))] or each.op.dropped != (stack.axis,):
            return False
        if each.op.source[stack.axis] != len(steps) or each.inputs != (steps[0] or each).inputs:
            return False
    return bool(steps)
