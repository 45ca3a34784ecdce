"""Ops that not every runtime has, written in others that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef, empty_like, node_of, numpy_type


def write_out_resize(graph_def: GraphDef, node: NodeDef) -> None:
    """Write bilinear resizing as two weighted sums of rows and columns.

    Position i of n results lies at ``i * m / n`` of m inputs, at ``(i + 0.5) * m / n - 0.5`` for
    half-pixel centers, at ``i * (m - 1) / (n - 1)`` for aligned corners.
    """
    half, aligned = node.attr["half_pixel_centers"].b, node.attr["align_corners"].b

    def resize(tf: Any, x: Any, size: Any) -> Any:
        for axis in (1, 2):
            before, after = tf.shape(x)[axis], size[axis - 1]
            places = tf.cast(tf.range(after), tf.float64)
            m, n = tf.cast(before, tf.float64), tf.cast(after, tf.float64)
            if aligned:
                places *= tf.where(n > 1, (m - 1) / tf.maximum(n - 1, 1), m / n)
            else:
                places = (places + 0.5) * m / n - 0.5 if half else places * m / n
            low = tf.floor(places)
            part = tf.reshape(places - low, (-1, 1, 1) if axis == 1 else (-1, 1))
            first = tf.gather(x, tf.cast(tf.clip_by_value(low, 0, m - 1), tf.int32), axis=axis)
            above = tf.clip_by_value(tf.math.ceil(places), 0, m - 1)
            x = first + (tf.gather(x, tf.cast(above, tf.int32), axis=axis) - first) * part
        return x

    insert(graph_def, node, resize, ("float64", "int32"))


def write_out_pool(graph_def: GraphDef, node: NodeDef, kind: str = "float64") -> None:
    """Write AvgPool3D and MaxPool3D as pooling of planes, then of what is left of the third axis.

    TensorFlow counts no padding, and a border cuts windows short on each axis for itself: a mean
    of means is the mean there as well.
    """
    what = "avg_pool2d" if node.op.startswith("Avg") else "max_pool2d"
    window, strides = (list(node.attr[name].list.i) for name in ("ksize", "strides"))
    padding = node.attr["padding"].s.decode()

    def pool(tf: Any, x: Any) -> Any:
        shape = tf.shape(x)
        planes = tf.reshape(x, tf.concat([[shape[0] * shape[1]], shape[2:]], 0))
        planes = getattr(tf.nn, what)(planes, window[2:4], strides[2:4], padding)
        flat = tf.shape(planes)
        columns = tf.reshape(planes, [shape[0], shape[1], flat[1] * flat[2], flat[3]])
        columns = getattr(tf.nn, what)(columns, (window[1], 1), (strides[1], 1), padding)
        return tf.reshape(columns, [shape[0], tf.shape(columns)[1], flat[1], flat[2], flat[3]])

    insert(graph_def, node, pool, (kind,), shape=[None] * 5)


def write_out_response(graph_def: GraphDef, node: NodeDef) -> None:
    """Write local response normalization as a product with a band of ones.

    ``x / (bias + alpha * s) ** beta`` where s is the sum of squares of the channels that are up
    to `depth_radius` away, of x ``[N, H, W, C]``.
    """
    radius = node.attr["depth_radius"].i
    bias, alpha, beta = (node.attr[name].f for name in ("bias", "alpha", "beta"))

    def normalize(tf: Any, x: Any) -> Any:
        channels = tf.shape(x)[3]
        reach = tf.minimum(radius, channels)
        near = tf.linalg.band_part(tf.ones([channels, channels], tf.float64), reach, reach)
        sums = tf.matmul(tf.reshape(x * x, [-1, channels]), near)
        return x / (bias + alpha * tf.reshape(sums, tf.shape(x))) ** beta

    insert(graph_def, node, normalize, ("float64",), shape=[None] * 4)


def groups_in(graph: Any) -> dict[str, int]:
    """Return how many groups each Conv3D of a tf.Graph has that has several, by its name.

    Only XLA runs these; TensorFlow's own kernel takes one group.
    """
    found = {}
    for op in graph.get_operations():
        if op.type != "Conv3D" or op.get_attr("data_format") != b"NDHWC":
            continue
        x, kernel = (tensor.shape for tensor in op.inputs)
        channels, own = (
            shape[axis] if shape.rank else None for shape, axis in ((x, 4), (kernel, 3))
        )
        if channels and own and channels != own and channels % own == 0:
            found[op.name] = channels // own
    return found


def in_single_groups(graph_def: GraphDef, groups: dict[str, int]) -> GraphDef:
    """Return a graph whose convolutions named in `groups` are convolutions of one group each."""
    result = empty_like(graph_def)
    for node in graph_def.node:
        if node.name in groups:
            _write_out_groups(result, node, groups[node.name])
        else:
            result.node.append(node)
    return result


def with_single_groups(model: FrozenModel) -> FrozenModel:
    """Return a model whose Conv3D have one group each, for runtimes that know no others."""
    import tensorflow as tf

    if not any(node.op == "Conv3D" for node in model.graph_def.node):
        return model
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(model.graph_def, name="")
    groups = groups_in(graph)
    return replace(model, graph_def=in_single_groups(model.graph_def, groups)) if groups else model


def _write_out_groups(graph_def: GraphDef, node: NodeDef, groups: int) -> None:
    strides, dilations = (list(node.attr[name].list.i) for name in ("strides", "dilations"))
    padding = node.attr["padding"].s.decode()
    kind = np.dtype(numpy_type(node.attr["T"].type)).name

    def convolve(tf: Any, x: Any, kernel: Any) -> Any:
        pairs = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1), strict=True)
        parts = [
            tf.raw_ops.Conv3D(
                input=part,
                filter=own,
                strides=strides,
                padding=padding,
                dilations=dilations or [1] * 5,
            )
            for part, own in pairs
        ]
        return tf.concat(parts, -1)

    insert(graph_def, node, convolve, (kind, kind), shape=[None] * 5)


def insert(
    graph_def: GraphDef,
    node: NodeDef,
    body: Any,
    kinds: tuple[str, ...],
    shape: Sequence[int | None] | None = None,
) -> None:
    """Add the nodes of `body`, a function of `node`'s inputs, the last under the node's name.

    Args:
        graph_def: gets the nodes.
        node: is not among them.
        body: takes TensorFlow, and a tensor for each input.
        kinds: the inputs' element types.
        shape: of the first input, None where `body` need not know it.
    """
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        ports = [tf.compat.v1.placeholder(kind, name=f"port_{i}") for i, kind in enumerate(kinds)]
        if shape is not None:
            ports[0].set_shape(shape)
        tf.identity(body(tf, *ports), name="result")
    names = {f"port_{i}": source for i, source in enumerate(node.input)}
    for part in graph.as_graph_def().node:
        names.setdefault(part.name, f"{node.name}/written_out/{part.name}")
    names["result"] = node.name
    for part in graph.as_graph_def().node:
        if part.op == "Placeholder":
            continue
        copy = graph_def.node.add()
        copy.CopyFrom(part)
        copy.name = names[part.name]
        for index, source in enumerate(part.input):
            control, plain = source.startswith("^"), source.removeprefix("^")
            output = plain.partition(":")[2]
            name = names[node_of(plain)] + (f":{output}" if output else "")
            copy.input[index] = f"^{name}" if control else name
