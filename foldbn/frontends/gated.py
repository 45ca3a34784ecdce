"""Recognize activations of the form ``x * f(x)`` as one op: SiLU, hard swish, GELU, Mish.

Runtimes have them as one op, and know them by the nodes that frameworks write. Were a constant
of theirs to move away, or a map to move in, the runtime would be left with the pieces.
"""

from __future__ import annotations

from foldbn import ops
from foldbn.frontends.attribution import AFFINE_KINDS
from foldbn.frontends.context import Context
from foldbn.frontends.groups import Group, sole_readers, without

# What an activation is called by the first of these kinds that is in it.
_NAMES = {
    "Relu6": "hard swish",
    "ClipByValue": "hard swish",
    "Softplus": "Mish",
    "Erf": "GELU",
    "Erfc": "GELU",
    "Tanh": "GELU",
    "Sigmoid": "SiLU",
}
_CURVES = {*_NAMES, "Pow", "Square"}
_MOST = 12  # nodes of one activation: GELU by way of tanh has nine


def join_gated(groups: list[Group], _: Context) -> list[Group]:
    """Return `groups` with each ``x * f(x)`` as one, its constant factor with it."""
    search = _Search(groups)
    sole = sole_readers(groups)
    joined: list[Group] = []
    for group in groups:
        found = search.activation(group) if isinstance(group.op, ops.Multiply) else None
        if found is None:
            continue
        source, inside = found
        members = [each for each in groups if id(each) in inside]
        kinds = {each.kind for each in members}
        name = next(name for kind, name in _NAMES.items() if kind in kinds)
        group.op = ops.Opaque(name, f"{name} is not linear")
        group.inputs = (source,)
        group.nodes = [node for each in members for node in each.nodes] + group.nodes
        factor = sole.get(group.outputs[0])
        if factor is not None and _is_constant(factor) and _scope(factor) == _scope(group):
            group.extend(factor, group.op)
            joined.append(factor)
        joined += members
    return without(groups, joined)


class _Search:
    def __init__(self, groups: list[Group]) -> None:
        self._producers = {tensor: group for group in groups for tensor in group.outputs}
        self._readers: dict[str, list[Group]] = {}
        for group in groups:
            for tensor in group.inputs:
                self._readers.setdefault(tensor, []).append(group)

    def activation(self, product: Group) -> tuple[str, set[int]] | None:
        """Return x of a product ``x * f(x)``, and the identities of what computes f."""
        sources = list(product.inputs)
        for tensor in product.inputs:
            producer = self._producers.get(tensor)
            if producer is not None and _is_constant(producer):
                sources.append(producer.inputs[0])
        for source in sources:
            found = self._between(source, product)
            if found and any(each.kind in _NAMES for each in found):
                return source, {id(each) for each in found}
        return None

    def _between(self, source: str, product: Group) -> list[Group] | None:
        """Return what computes a product from `source` alone and for nobody else."""
        found: list[Group] = []
        waiting = list(product.inputs)
        while waiting:
            tensor = waiting.pop()
            producer = self._producers.get(tensor)
            if tensor == source or any(producer is each for each in found):
                continue
            if producer is None or not _is_elementwise(producer) or len(found) == _MOST:
                return None
            found.append(producer)
            waiting += producer.inputs
        members = [product, *found]
        private = all(
            any(reader is member for member in members)
            for each in found
            for reader in self._readers[each.outputs[0]]
        )
        return found if private else None


def _is_elementwise(group: Group) -> bool:
    """Whether a group computes each number of its result from one of each input."""
    if len(group.outputs) != 1:
        return False
    if isinstance(group.op, ops.Multiply | ops.Add):
        return True
    return group.kind in _CURVES or _is_constant(group)


def _is_constant(group: Group) -> bool:
    """Whether a group adds or multiplies with one number, and is no layer that says what became."""
    if not isinstance(group.op, ops.AffineOp) or group.owner.kind in AFFINE_KINDS:
        return False
    return bool(group.op.affine.compact().scale.size == 1)


def _scope(group: Group) -> str:
    return group.name.rpartition("/")[0]
