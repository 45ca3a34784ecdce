"""Part the layers that normalize each sample into what depends on data and what does not.

LayerNormalization and GroupNormalization multiply by gamma and add beta at the end, but Keras
writes gamma into the factor of the data and beta into its offset:

    y = x * (r * gamma) + (-mean * (r * gamma) + beta)        r = rsqrt(variance + epsilon)
      = (x * r + -mean * r) * gamma + beta

The second line has the same value, one multiplication less, and an affine map at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    Layers,
    NodeDef,
    empty_like,
    node_of,
    prune,
    readers_of,
)

HALVES = ("LayerNormalization", "GroupNormalization", "RMSNormalization")


@dataclass(frozen=True)
class _Found:
    """The nodes of one normalization.

    Attributes:
        root: r, the data's own factor.
        factor: ``r * gamma``, None without gamma.
        products: the two products with the factor.
        offset: the addition of beta, None without beta.
        last: the sum of both parts.
        gamma: the constant, None where there is none.
        beta: the constant, None where there is none.
    """

    root: NodeDef
    factor: NodeDef | None
    products: tuple[NodeDef, NodeDef]
    offset: NodeDef | None
    last: NodeDef
    gamma: str | None
    beta: str | None


def part_normalizations(model: FrozenModel) -> FrozenModel:
    """Return `model` with gamma and beta at the end of each normalization of samples."""
    finder = _Finder(model.graph_def)
    found = [each for node in model.graph_def.node if (each := finder.find(node)) is not None]
    if not found:
        return model
    graph_def = empty_like(model.graph_def)
    parts = {each.last.name: each for each in found}
    for node in model.graph_def.node:
        if node.name in parts:
            _write(graph_def, parts[node.name])
        else:
            graph_def.node.append(node)
    keep = tuple(port.node for port in model.outputs)
    layers = _named(model.layers, found)
    return replace(model, graph_def=prune(graph_def, keep), layers=layers)


class _Finder:
    def __init__(self, graph_def: GraphDef) -> None:
        self._nodes = {node.name: node for node in graph_def.node}
        self._readers = readers_of(graph_def)

    def find(self, root: NodeDef) -> _Found | None:
        """Return the normalization whose factor begins with `root`."""
        if root.op != "Rsqrt":
            return None
        factor, gamma = self._with_constant(root, "Mul")
        products = self._readers.get((factor or root).name, [])
        if len(products) != 2 or any(node.op != "Mul" for node in products):
            return None
        for first, second in (tuple(products), tuple(reversed(products))):
            offset, beta = self._with_constant(second, "AddV2")
            lasts = self._readers.get((offset or second).name, [])
            sums = [node for node in lasts if node.op == "AddV2" and first.name in node.input]
            both_private = len(self._readers.get(first.name, [])) == 1 and len(lasts) == 1
            if sums and both_private and (gamma or beta):
                return _Found(root, factor, (first, second), offset, sums[0], gamma, beta)
        return None

    def _with_constant(self, node: NodeDef, kind: str) -> tuple[NodeDef | None, str | None]:
        """Return the only reader of `node` if it is of `kind`, and the constant it takes."""
        readers = self._readers.get(node.name, [])
        if len(readers) != 1 or readers[0].op != kind:
            return None, None
        others = [node_of(source) for source in readers[0].input if node_of(source) != node.name]
        if len(others) != 1 or self._nodes[others[0]].op != "Const":
            return None, None
        return readers[0], others[0]


def _write(graph_def: GraphDef, found: _Found) -> None:
    """Write both products with the data's own factor, their sum, gamma and beta."""
    last = found.last
    tensors = []
    for product in found.products:
        copy = graph_def.node.add()
        copy.CopyFrom(product)
        copy.name = f"{product.name}/parted"
        if found.factor is not None:
            sources = [found.root.name if s == found.factor.name else s for s in copy.input]
            copy.input[:] = sources
        tensors.append(copy.name)
    steps = [("AddV2", tensors[1])]
    steps += [("Mul", found.gamma)] if found.gamma else []
    steps += [("AddV2", found.beta)] if found.beta else []
    tensor = tensors[0]
    for number, (kind, other) in enumerate(steps):
        name = last.name if number == len(steps) - 1 else f"{last.name}/part_{number}"
        added = graph_def.node.add(name=name, op=kind, input=[tensor, other])
        added.attr["T"].CopyFrom(last.attr["T"])
        tensor = name


def _named(layers: Layers, found: list[_Found]) -> Layers:
    """Give a class to layers of which only the variables are known."""
    classes = dict(layers.classes)
    for each in found:
        layer = layers.variables.get(each.gamma or each.beta or "")
        if layer is not None and not classes.get(layer):
            classes[layer] = HALVES[0]
    return replace(layers, classes=classes)
