"""Tell in which floating-point precision a model computes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from foldbn.frontends.frozen import FrozenModel, NodeDef, node_of
from foldbn.frontends.recognizers import LINEAR
from foldbn.frontends.retyping import (
    DT_BFLOAT16,
    DT_FLOAT,
    DT_HALF,
    NAMES,
    cast_types,
    casts_floats,
    nodes_of,
)

_HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}  # the unit in the last place of 1
_PRODUCTS = (*LINEAR, "Einsum")
_NO_ARITHMETIC = ("Identity", "IdentityN", "Shape", "Reshape", "StopGradient", "Squeeze")


@dataclass(frozen=True)
class Precision:
    """What a model computes in.

    Attributes:
        main: NumPy's name of the type of its products and convolutions; where there are none,
            of most of its ops.
        kinds: all floating-point types it computes in, or rounds to.
        ports: those of its inputs and outputs.
        mixed: whether its weights are stored in float32, and cast to the coarser `main`.
    """

    main: str = "float32"
    kinds: frozenset[str] = frozenset({"float32"})
    ports: frozenset[str] = frozenset()
    mixed: bool = False

    @property
    def name(self) -> str:
        """``float16``; ``mixed_float16`` as Keras has it; ``float32 with float64``."""
        if self.mixed:
            return f"mixed_{self.main}"
        others = sorted((self.kinds | self.ports) - {"float32"})
        return " with ".join(["float32", *others]) if self.main == "float32" else self.main

    @property
    def coarsest_unit(self) -> float | None:
        """The unit in the last place of 1 of its coarsest half precision, None without one."""
        return max((_HALVES[kind] for kind in self.kinds & set(_HALVES)), default=None)


def precision_of(model: FrozenModel) -> Precision:
    """Return what a frozen graph, and the functions it calls, compute in."""
    products: Counter[str] = Counter()
    others: Counter[str] = Counter()
    casts: set[str] = set()
    for node in nodes_of(model):
        kind = NAMES.get(node.attr["T"].type) if "T" in node.attr else None
        if node.op == "Cast" and casts_floats(node):
            casts.add(NAMES[cast_types(node)[1]])
        elif kind and node.op in _PRODUCTS:
            products[kind] += 1
        elif kind and node.op not in _NO_ARITHMETIC:
            others[kind] += 1
    kinds = frozenset({*products, *others, *casts} or {"float32"})
    ports = {port.dtype for port in (*model.inputs, *model.outputs)} & {*NAMES.values()}
    main = (products or others or Counter(sorted(kinds))).most_common(1)[0][0]
    mixed = main in _HALVES and _casts_weights(model)
    return Precision(main, kinds, frozenset(ports), mixed)


def _casts_weights(model: FrozenModel) -> bool:
    """Whether a float32 constant is cast to a half precision, or what a loop is given is."""
    nodes = {node.name: node for node in model.graph_def.node}
    if any(cast_weight(node, nodes) is not None for node in nodes.values()):
        return True
    for function in model.graph_def.library.function:
        arguments = {argument.name for argument in function.signature.input_arg}
        handed = {n.name for n in function.node_def if n.op == "Identity"} | arguments
        if any(_coarsens(n) and node_of(n.input[0]) in handed for n in function.node_def):
            return True
    return False


def cast_weight(node: NodeDef, nodes: dict[str, NodeDef]) -> NodeDef | None:
    """Return the float32 constant that a node casts to a half precision, None for any other."""
    if not _coarsens(node):
        return None
    source = nodes[node_of(node.input[0])]
    while source.op == "Identity":
        source = nodes[node_of(source.input[0])]
    return source if source.op == "Const" else None


def _coarsens(node: NodeDef) -> bool:
    """Whether a node casts float32 to a half precision."""
    return node.op == "Cast" and cast_types(node) in ((DT_FLOAT, DT_HALF), (DT_FLOAT, DT_BFLOAT16))
