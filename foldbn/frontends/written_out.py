"""Ops that not every runtime has, written in others that it has."""

from __future__ import annotations

from typing import Any

from foldbn.frontends.frozen import GraphDef, NodeDef, node_of


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

    _insert(graph_def, node, resize, ("float64", "int32"))


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

    _insert(graph_def, node, pool, (kind,))


def _insert(graph_def: GraphDef, node: NodeDef, body: Any, kinds: tuple[str, ...]) -> None:
    """Add the nodes of `body`, a function of `node`'s inputs, the last under the node's name."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        ports = [tf.compat.v1.placeholder(kind, name=f"port_{i}") for i, kind in enumerate(kinds)]
        if len(kinds) == 1:
            ports[0].set_shape([None] * 5)
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
