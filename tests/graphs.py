"""Graphs written as one line of text, and told in one line again.

    x[4x4x2] -> Conv(same) -> ReLU -> BN -> y
    x[4] -> Dense -> a; a -> ReLU -> b; a, b -> Add -> BN -> y

A chain starts at one tensor or at several, and may name the tensor it ends in. A ``!`` makes
that tensor a model output; where none has it, the last one is. Nodes are called after their
ops: dense, dense_1. Words in brackets choose a variant, and every number is random.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.folding import Folding
from foldbn.graph import Graph, Node
from tests import reference

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Sketch:
    """A graph, and the shape of one sample for each of its inputs."""

    graph: Graph
    inputs: dict[str, Shape]

    def feeds(self, seed: int, batch: int = 2) -> dict[str, Array]:
        """Return a random batch for every input."""
        rng = np.random.default_rng(seed)
        return {name: rng.normal(size=(batch, *shape)) for name, shape in self.inputs.items()}


def build(text: str) -> Sketch:
    """Read a graph from text."""
    rng = np.random.default_rng(11)
    nodes: dict[str, Node] = {}
    shapes: dict[str, Shape] = {}
    inputs: dict[str, Shape] = {}
    outputs: list[str] = []
    tensor = ""
    for chain in re.split(r"[;\n]", text):
        begin, *steps = (step.strip() for step in chain.split("->"))
        sources = []
        for each in begin.split(", "):
            name, _, size = each.rstrip("]").partition("[")
            if size:
                inputs[name] = shapes[name] = tuple(int(n) for n in size.split("x"))
            sources.append(name)
        for step, following in pairwise([*steps, "."]):
            if step[0].islower():
                outputs.extend([tensor] if step.endswith("!") else [])
                continue
            op_name, _, words = step.rstrip(")").partition("(")
            op = MAKERS[op_name](rng, [shapes[source] for source in sources], *words.split())
            name = unique(op_name.lower(), nodes)
            tensor = following.rstrip("!") if following[0].islower() else f"{name}:0"
            results = reference.apply(op, *(np.ones((8, *shapes[source])) for source in sources))
            many = isinstance(results, tuple)
            written = tuple(f"{name}:{i}" for i in range(len(results))) if many else (tensor,)
            for each, result in zip(written, results if many else (results,), strict=True):
                shapes[each] = result.shape[1:]
            kind = "BatchNormalization" if op_name == "BN" else op_name
            sample = shapes[written[0]]
            nodes[name] = Node(name, op, tuple(sources), written, name, kind, sample)
            sources = [written[0]]
        tensor = sources[0]
    return Sketch(Graph(nodes.values(), outputs or [tensor]), inputs)


def unique(name: str, taken: dict[str, Node]) -> str:
    """Return `name`, or `name` with the first number that makes it new."""
    names = [name, *(f"{name}_{i}" for i in range(1, len(taken) + 1))]
    return next(each for each in names if each not in taken)


def show(graph: Graph) -> str:
    """Return the ops in their order; a ``;`` where a node does not go on from the one before."""
    text, before = "", None
    for node in graph:
        title = "BN" if isinstance(node.op, ops.AffineOp) else node.op.title
        text += "" if before is None else " -> " if node.inputs == (before,) else "; "
        text += title
        before = node.outputs[0]
    return text


def tell(folding: Folding) -> str:
    """Return what became of each affine layer, in one line."""
    lines = []
    for each in folding.decisions:
        words = [each.layer, each.outcome, each.direction or ""]
        words += ["into", *each.into] if each.into else []
        words += ["across", *each.across] if each.across else []
        lines.append(" ".join(filter(None, words)))
    return "; ".join(lines)


def assert_equal(sketch: Sketch, folded: Graph) -> None:
    """Assert that both graphs give the same numbers under the same names, for several seeds."""
    assert folded.outputs == sketch.graph.outputs
    for seed in range(4):
        feeds = sketch.feeds(seed)
        before, after = (reference.evaluate(graph, feeds) for graph in (sketch.graph, folded))
        for name, wanted in before.items():
            atol = 1e-11 * np.abs(wanted).max()
            np.testing.assert_allclose(after[name], wanted, rtol=1e-11, atol=atol)


def _affine(rng: np.random.Generator, shapes: list[Shape], *words: str) -> ops.AffineOp:
    """Make a normalization per last channel, the ``first`` or element (``full``), of scale > 0."""
    (shape,) = shapes
    axis = 0 if "first" in words else len(shape) - 1
    form = [n if i == axis or "full" in words else 1 for i, n in enumerate(shape)]
    scale, shift = 0.5 + rng.random(form), rng.normal(size=form)
    if "identity" in words or "shift" in words:
        scale = np.ones(form)
    if "identity" in words or "scale" in words:
        shift = np.zeros(form)
    if "steep" in words:
        scale.flat[0] = 40
    if "far" in words:
        shift.flat[0] = 40
    if "negative" in words or "dead" in words:
        scale.flat[0] = -1.5 if "negative" in words else 0
    if "none" in words or "tiny" in words:
        scale, shift = np.full(form, 0.0 if "none" in words else 1e-40), np.zeros(form)
    if "same" in words:
        scale, shift = np.full(form, 1.5), np.full(form, 0.0 if "scale" in words else -0.5)
    return ops.AffineOp(Affine(scale, shift))


def _dense(rng: np.random.Generator, shapes: list[Shape], units: str = "3") -> ops.Dense:
    (shape,) = shapes
    bias = rng.normal(size=int(units))
    return ops.Dense(rng.normal(size=(shape[-1], int(units))), bias, len(shape))


def _conv(rng: np.random.Generator, shapes: list[Shape], *words: str) -> ops.Conv:
    """Make a convolution with window 3 (``1x1``: 1) from all channels to 4.

    Those are 40 with the word ``wide`` and 2 with ``thin``; ``dilated`` takes every second pixel.
    """
    (shape,) = shapes
    first, size = "first" in words, shape[1:] if "first" in words else shape[:-1]
    one = (1,) * len(size)
    window = one if "1x1" in words else (3,) * len(size)
    results = 40 if "wide" in words else 2 if "thin" in words else 4
    kernel = rng.normal(size=(*window, shape[0] if first else shape[-1], results))
    padding = "same" if "same" in words else "valid"
    known = (None,) * len(size) if "unknown" in words else size
    bias = None if "nobias" in words else rng.normal(size=results)
    steps = tuple(2 * n for n in one) if "dilated" in words else one
    return ops.Conv(kernel, bias, one, steps, padding, 1, known, first)


def _constant(op: ops.Op) -> Callable[..., ops.Op]:
    return lambda *_: op


def _axes(make: Callable[[tuple[int, ...]], ops.Op]) -> Callable[..., ops.Op]:
    return lambda _, __, *words: make(tuple(int(word) for word in words))


def _flatten(_: np.random.Generator, shapes: list[Shape]) -> ops.Reshape:
    return ops.Reshape(shapes[0], (prod(shapes[0]),))


def _concat(_: np.random.Generator, shapes: list[Shape], axis: str = "-1") -> ops.Concat:
    place = int(axis) % len(shapes[0])
    return ops.Concat(place, tuple(shape[place] for shape in shapes))


def _bias(rng: np.random.Generator, shapes: list[Shape]) -> ops.Bias:
    return ops.Bias(rng.normal(size=(*[1] * (len(shapes[0]) - 1), shapes[0][-1])))


MAKERS: dict[str, Callable[..., ops.Op]] = {
    "BN": _affine,
    "Dense": _dense,
    "Conv": _conv,
    "Bias": _bias,
    "Flatten": _flatten,
    "Concat": _concat,
    "Add": lambda _, shapes: ops.Add(len(shapes)),
    "Subtract": _constant(ops.Add(2, subtracts=True)),
    "Multiply": lambda _, shapes: ops.Multiply((shapes[0], shapes[1])),
    "Maximum": _constant(ops.Extremum("Maximum")),
    "ReLU": _constant(ops.relu()),
    "Identity": _constant(ops.identity()),
    "Sigmoid": _constant(ops.Opaque("Sigmoid")),
    "Split": _constant(ops.Opaque("Split")),
    "ShapeOf": _constant(ops.ShapeOf()),
    "MaxPool": _constant(ops.max_pool((0, 1))),
    "AveragePool": _constant(ops.average_pool((0, 1), 4)),
    "Upsample": _constant(ops.resize((0, 1), growth=4.0)),
    "Resize": _constant(ops.resize((0, 1))),
    "GlobalMean": _constant(ops.GlobalPool("mean", (0, 1), keepdims=False)),
    "GlobalMax": _constant(ops.GlobalPool("max", (0, 1), keepdims=False)),
    "ZeroPad": _constant(ops.zero_pad((0, 1))),
    "Squeeze": _axes(ops.Squeeze),
    "Expand": _axes(ops.ExpandDims),
    "Transpose": _axes(ops.Transpose),
}
