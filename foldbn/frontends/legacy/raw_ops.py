"""Call one raw op of TensorFlow as a NodeDef describes it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from foldbn.errors import Unreadable
from foldbn.frontends.legacy.op_names import check_raw_op


def raw_call(config: dict[str, Any]) -> Callable[..., Any]:
    """Return the function of one list of tensors that a TensorFlowOpLayer stands for.

    Args:
        config: of the layer: its ``node_def``, and ``constants`` for some of the op's inputs, by
            their index. The tensors are the other inputs, in order.

    Raises:
        Unsupported: the op is not on the list.
        Unreadable: there is no NodeDef where one should be; a call has too many or too few inputs.
    """
    import tensorflow as tf

    node = _node_def(config.get("node_def"))
    check_raw_op(node.op)
    constants = {int(index): value for index, value in (config.get("constants") or {}).items()}

    def call(inputs: Any) -> Any:
        values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        for index in sorted(constants):
            values.insert(index, constants[index])
        types = _input_types(node)
        if len(values) != len(types):
            raise Unreadable(
                f"{node.name!r} ({node.op}) has {len(values)} inputs, {len(types)} are needed"
            )
        tensors = [
            value if tf.is_tensor(value) else tf.constant(value, kind)
            for value, kind in zip(values, types, strict=True)
        ]
        run = functools.partial(_run, node)
        return tf.function(run)(*tensors) if tf.executing_eagerly() else run(*tensors)

    return call


def _run(node: Any, *tensors: Any) -> Any:
    """Add a node to the current graph, with these inputs; return its output or outputs."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    graph_def.versions.producer = tf.version.GRAPH_DEF_VERSION
    copy = graph_def.node.add(name=node.name, op=node.op)
    for name, value in node.attr.items():
        copy.attr[name].CopyFrom(value)
    places = {}
    for index, tensor in enumerate(tensors):
        copy.input.append(f"input_{index}")
        places[f"input_{index}"] = tensor
    (made,) = tf.graph_util.import_graph_def(
        graph_def, input_map=places, return_elements=[node.name], name=""
    )
    return made.outputs[0] if len(made.outputs) == 1 else list(made.outputs)


def _input_types(node: Any) -> list[Any]:
    """Return the type of each input of a node."""
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry

    types = []
    for port in op_def_registry.get(node.op).input_arg:
        kind = node.attr[port.type_attr].type if port.type_attr else port.type
        count = node.attr[port.number_attr].i if port.number_attr else 1
        types += [tf.as_dtype(kind)] * count
    return types


def _node_def(stored: Any) -> Any:
    """Read a NodeDef stored as a JSON object, as JSON text, or as serialized bytes in a string."""
    import tensorflow as tf
    from google.protobuf import (
        json_format,
        message,
    )

    def from_text(text: str) -> Any:
        return json_format.Parse(text, tf.compat.v1.NodeDef())

    def from_object(value: Any) -> Any:
        return json_format.ParseDict(value, tf.compat.v1.NodeDef())

    def from_bytes(encoding: str, text: str) -> Any:
        return tf.compat.v1.NodeDef.FromString(text.encode(encoding))

    readers: list[Callable[[Any], Any]] = (
        [from_text, *(functools.partial(from_bytes, name) for name in ("utf-8", "latin1"))]
        if isinstance(stored, str)
        else [from_object]
    )
    wrong = (json_format.ParseError, message.DecodeError, ValueError, TypeError, AttributeError)
    for reader in readers:
        with contextlib.suppress(*wrong):
            node = reader(stored)
            if node.op:
                return node
    raise Unreadable("a TensorFlowOpLayer holds no op that can be read")
