"""What float32 may make of long sums, written into a float64 graph.

A sum of n terms is rounded n times, and runtimes differ in how: TensorFlow adds up blocks, and
blocks of blocks, TFLite one term after the other. The original's own rounding then says little of
what a right file may be off. So each long sum is made as rough as in the plainest runtime, and what
comes after it amplifies its error as it would the real one:

* Every sum is multiplied by ``1 + r * sqrt(n) * u`` or ``1 - r * sqrt(n) * u``, by the toss of a
  coin for each number, u = 2^-24. Where roundings are independent, the error stays below
  ``lambda * sqrt(n) * u`` times the sum of magnitudes, all but surely for a lambda of some units
  (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput.
  41(5), 2019, theorem 2.4); of random terms, times the sum itself (the same, Sharper Probabilistic
  Backward Error Analysis, 42(5), 2020). TFLite's products, of 1,000 to 131,000 terms, are off by
  0.15 to 0.5 of sqrt(n) * u, root mean square. With r = 1/4 a file may be eight times as far off.
  So is what comes of it with a constant more: a runtime begins a sum with its bias.
* A mean or a plain sum is added up in float32 one term after the other, of terms that are divided
  by n or before it is divided, whichever is further off: of equal terms, an input of ones say,
  roundings are not independent, and the error grows with n itself (section 3 of the first paper).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef, empty_like
from foldbn.verification.batches import Samples

_U = float(np.finfo(np.float32).eps) / 2
_R = 0.25
_SHORT_PRODUCT, _SHORT_MEAN = 512, 64  # terms
_TAKES_CONSTANT = ("BiasAdd", "AddV2", "Add", "Sub", "Mul")
_MOVES = ("Identity", "Reshape", "Transpose", "Squeeze", "ExpandDims")


class _Sum(NamedTuple):
    """A long sum: of how many terms, and of a mean the axes and the rank of its input."""

    terms: int
    axes: tuple[int, ...] = ()
    rank: int = 0


def with_rounded_sums(model: FrozenModel, samples: Samples) -> FrozenModel | None:
    """Return a float64 graph whose long sums are off by what float32 may make of them.

    Args:
        model: the graph; products of up to 512 terms, and means of up to 64, stay as they are.
        samples: inputs, by name, for the lengths that the graph leaves open.

    Returns:
        None where there are no long sums.
    """
    sums = _long_sums(model, samples)
    if not sums:
        return None
    graph_def = empty_like(model.graph_def)
    for number, node in enumerate(model.graph_def.node, 1):
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        if node.name in sums:
            _round(graph_def, copy, sums[node.name], number)
    return replace(model, graph_def=graph_def)


def _long_sums(model: FrozenModel, samples: Samples) -> dict[str, _Sum]:
    """Return each long sum by the name of its node, and what adds a constant to one."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(_of_shapes(model, samples), name="")
    found: dict[str, _Sum] = {}
    products: dict[str, int] = {}
    fixed: set[str] = set()
    for operation in graph.get_operations():
        sources = [tensor.op.name for tensor in operation.inputs]
        if operation.type == "Const" or (sources and fixed.issuperset(sources)):
            fixed.add(operation.name)
        elif operation.outputs and operation.outputs[0].dtype == tf.float64:
            if axes := _reduced(operation):
                terms = _lengths(operation.inputs[0], *axes)
                if terms > _SHORT_MEAN:
                    found[operation.name] = _Sum(terms, axes, _rank(operation.inputs[0]))
                continue
            terms = _terms(operation)
            if terms <= _SHORT_PRODUCT:
                terms = _biased(operation.type, sources, products, fixed)
            if terms:
                products[operation.name] = terms
                if operation.type not in _MOVES:
                    found[operation.name] = _Sum(terms)
    return found


def _biased(kind: str, sources: list[str], products: dict[str, int], fixed: set[str]) -> int:
    """Return of how many terms what an op adds a constant to is the sum, 0 if it does not.

    Runtimes begin a sum with its bias, and folding makes one of a normalization that follows.
    """
    if kind in _MOVES:
        return products.get(sources[0], 0)
    if kind in _TAKES_CONSTANT and fixed.intersection(sources):
        return max(products.get(source, 0) for source in sources)
    return 0


def _of_shapes(model: FrozenModel, samples: Samples) -> GraphDef:
    """Return the graph with inputs of the samples' shapes."""
    graph_def = empty_like(model.graph_def)
    graph_def.CopyFrom(model.graph_def)
    shapes = {port.node: samples[port.name].shape for port in model.inputs}
    for node in graph_def.node:
        if node.name in shapes:
            batch, *lengths = shapes[node.name]
            shape = node.attr["shape"].shape
            shape.Clear()
            for length in (model.batch_size or batch, *lengths):
                shape.dim.add(size=length)
    return graph_def


def _terms(operation: Any) -> int:
    """Return how many products each number that an op gives is the sum of; 0 is not known."""
    return _COUNTED[operation.type](operation) if operation.type in _COUNTED else 0


def _of_window(operation: Any) -> int:
    return math.prod(operation.get_attr("ksize"))


def _of_product(operation: Any) -> int:
    flag = "adj_x" if operation.type.startswith("Batch") else "transpose_a"
    return _lengths(operation.inputs[0], -2 if operation.get_attr(flag) else -1)


def _of_depthwise(operation: Any) -> int:
    """Return the size of the window of a kernel ``[H, W, in, multiplier]``."""
    return _lengths(operation.inputs[1], 0, 1)


def _of_convolution(operation: Any) -> int:
    """Return the size of what a kernel ``[*window, in, out]`` covers."""
    return _lengths(operation.inputs[1], *range(_rank(operation.inputs[1]) - 1))


def _of_transposed(operation: Any) -> int:
    """Return that of a kernel ``[*window, out, in]``, parts of which a stride may leave out."""
    return _lengths(operation.inputs[1], *range(_rank(operation.inputs[1]) - 2), -1)


def _of_softmax(operation: Any) -> int:
    return _lengths(operation.inputs[0], -1)


def _rank(tensor: Any) -> int:
    return int(tensor.shape.rank or 0)


def _lengths(tensor: Any, *axes: int) -> int:
    """Return the product of the lengths of some axes; 0 where one is not known."""
    rank = _rank(tensor)
    if not all(-rank <= axis < rank for axis in axes):
        return 0
    return math.prod(tensor.shape[axis] or 0 for axis in axes)


def _reduced(operation: Any) -> tuple[int, ...]:
    """Return the axes that a mean or a plain sum adds up, where it is one and they are known."""
    import tensorflow as tf

    if operation.type not in ("Mean", "Sum"):
        return ()
    axes, rank = tf.get_static_value(operation.inputs[1]), _rank(operation.inputs[0])
    return () if axes is None or not rank else tuple(int(axis) % rank for axis in np.ravel(axes))


def _contracted(operation: Any) -> int:
    """Return over how many terms an Einsum sums: the axes of its first input that are gone."""
    inputs, _, result = operation.get_attr("equation").decode().partition("->")
    before, _, after = inputs.partition(",")[0].partition("...")
    places = [*enumerate(before), *((i - len(after), name) for i, name in enumerate(after))]
    return _lengths(operation.inputs[0], *(i for i, name in places if name not in result))


_COUNTED = {
    **dict.fromkeys(("AvgPool", "AvgPool3D"), _of_window),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _of_product),
    "DepthwiseConv2dNative": _of_depthwise,
    **dict.fromkeys(("Conv2D", "Conv3D"), _of_convolution),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _of_transposed),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _of_softmax),
    "Einsum": _contracted,
}


def _round(graph_def: GraphDef, node: NodeDef, long_sum: _Sum, seed: int) -> None:
    """Let `node` keep its name for what it computes, off by what float32 may make of it."""
    import tensorflow as tf

    name = node.name
    node.name = f"{name}/exact"
    places = {"exact": node.name, "source": node.input[0], "rough": name}
    with tf.Graph().as_default() as graph:
        exact, source = (tf.compat.v1.placeholder(tf.float64, name=n) for n in ("exact", "source"))
        rough = _in_order(exact, source, long_sum, mean=node.op == "Mean")
        coin = tf.random.uniform(tf.shape(exact), -1, 1, tf.float32, seed) > 0
        error = tf.constant(_R * math.sqrt(long_sum.terms) * _U, tf.float64)
        tf.multiply(rough, tf.where(coin, 1 + error, 1 - error), name="rough")
    for part in graph.as_graph_def().node:
        if part.op == "Placeholder":
            continue
        part.name = places.get(part.name, f"{name}/{part.name}")
        part.input[:] = [places.get(each, f"{name}/{each}") for each in part.input]
        graph_def.node.append(part)


def _in_order(exact: Any, source: Any, long_sum: _Sum, *, mean: bool) -> Any:
    """Return a mean or a plain sum of `source`, added up in float32 one term after the other.

    A running sum is one: TensorFlow's CPU kernel walks along its axis. Terms come in the order
    that they lie in. What is no mean and no plain sum comes back as it is, as `exact`.
    """
    import tensorflow as tf

    axes, count = long_sum.axes, long_sum.terms
    if not axes:
        return exact
    kept = [axis for axis in range(long_sum.rank) if axis not in axes]
    turned = tf.transpose(tf.cast(source, tf.float32), [*kept, *sorted(axes)])
    terms = tf.reshape(turned, [-1, count])

    def added(terms: Any) -> Any:
        last = tf.cast(tf.cumsum(terms, axis=1)[:, -1], tf.float64)
        return tf.reshape(last, tf.shape(exact))

    if not mean:
        return added(terms)
    before, after = added(terms * np.float32(1 / count)), added(terms) / count
    further = tf.abs(before - exact) > tf.abs(after - exact)
    return tf.where(further, before, after)
