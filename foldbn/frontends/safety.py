"""Refuse a SavedModel that could touch the machine, before TensorFlow sees it.

Only ops of the list in `pure_ops` may stand in its graph and its library functions, whether
they are called or not: nested functions and the init op are functions and nodes like any other.
Every SavedModel also holds what saves and restores its variables. These ops do read and write
files, and may stand nowhere but where that is their purpose: foldbn reads the variables itself
and runs none of them, and TensorFlow runs none that only its saver reaches.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldbn.errors import Unreadable, Unsafe, Unsupported
from foldbn.frontends.chance import functions_of
from foldbn.frontends.pure_ops import ALLOWED, WITH_ATTRIBUTE
from foldbn.frontends.saver import SAVER, check_saver

_REASONS = {  # what a name tells; the first that fits
    r"PyFunc": "runs Python code",
    r"^(Read|ImmutableC|MatchingF|WholeFile|.*Reader|GenerateVocab)": "reads files",
    r"Write|PrintV2|Summary|Debug|Dump": "can write files",
    r"Table|Vocab": "keeps a lookup table",
    r"Dataset|Iterator|Record|Queue|Stage|Barrier": "reads a stream of data",
    r"Rpc|Remote|Send|Recv|Collective|TPU|Data.?Service": "talks to other machines",
    r"^Xla|Mlir": "runs compiled code",
}
_ANEW = "save the model anew with tf.saved_model.save or model.export"
_LARGEST = 2**31 - 1  # bytes: more than protobuf reads
_MOST_NODES = 2_000_000
_DEEPEST = 200  # calls in calls
_MOST_DECLARED = 2**28  # bytes that constants may have, all together, without holding them
_LEAST_WIDTH = 4  # bytes of a number: what folds a constant computes in float32 at least


def read_checked(path: Path) -> Any:
    """Return the protobuf of a SavedModel directory, once no op of it touches the machine.

    Raises:
        Unreadable: saved_model.pb is missing, damaged, or too great to be read.
        Unsafe: an op is not on the list of harmless ones, a file is a link to elsewhere, or the
            graph declares more than any model has.
        Unsupported: an op is not known to this TensorFlow.
    """
    check_links(path)
    proto = _parse(path)
    for meta in proto.meta_graphs:
        check_meta_graph(meta, str(path))
    return proto


def check_meta_graph(meta: Any, path: str) -> None:
    """Refuse a graph with an op that could touch the machine, or that unfolds without end.

    Args:
        meta: a MetaGraphDef.
        path: of the model, for messages.

    Raises:
        Unsafe: an op is not on the list of harmless ones, or the graph declares more than any
            model has.
        Unsupported: an op is not known to this TensorFlow.
    """
    library = {function.signature.name for function in meta.graph_def.library.function}
    _check_names(library, path)
    count = declared = 0
    for place, node in _nodes(meta):
        count += 1
        if node.op not in library:
            _check_op(node, place, path)
        if node.op == "Const":
            declared += _declared(node)
            _check_declared(declared, node, path)
    if count > _MOST_NODES:
        raise Unsafe(f"{path!r} has {count:,} nodes, more than any model", _ANEW)
    check_saver(meta, path)
    _check_calls(meta, path)


def check_links(path: Path) -> None:
    """Refuse a directory with links out of it, pipes and devices.

    Raises:
        Unsafe: there is one.
    """
    root = path.resolve()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            part = Path(folder) / name
            mode = part.stat().st_mode if part.exists() else 0
            if not part.resolve().is_relative_to(root):
                raise Unsafe(
                    f"{str(path / part.relative_to(root))!r} is a link out of the model",
                    "cp -rL makes a copy without links, if you trust where they lead",
                )
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise Unsafe(f"{str(path / part.relative_to(root))!r} is no regular file", _ANEW)


def _parse(path: Path) -> Any:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    binary, text = path / "saved_model.pb", path / "saved_model.pbtxt"
    file = binary if binary.exists() or not text.exists() else text
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= _LARGEST else b""
    except OSError as error:
        raise Unreadable(f"cannot read {str(file)!r}: {error.strerror}") from error
    if size > _LARGEST:
        raise Unreadable(f"{str(file)!r} has {size:,} bytes, over 2 GiB", _ANEW)
    try:
        if file is text:
            text_format.Parse(content, proto)
        else:
            proto.ParseFromString(content)
    except Exception as error:  # protobuf raises its own and others
        raise Unreadable(
            f"{file.name} in {str(path)!r} is damaged", "was the download or copy interrupted?"
        ) from error
    if not proto.meta_graphs:
        raise Unreadable(
            f"{file.name} in {str(path)!r} holds no graph", "was the download or copy interrupted?"
        )
    return proto


def _nodes(meta: Any) -> Iterator[tuple[str, Any]]:
    for node in meta.graph_def.node:
        yield "", node
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def _check_names(library: set[str], path: str) -> None:
    """Refuse a function that goes by the name of an op: a node of that name would be either."""
    from tensorflow.python.framework import op_def_registry

    for name in sorted(library):
        if op_def_registry.get(name) is not None:
            raise Unsafe(f"{path!r} has a function that is called like the op {name}", _ANEW)


def _check_op(node: Any, place: str, path: str) -> None:
    from tensorflow.python.framework import op_def_registry

    where = f"{node.op} ({node.name}{f', in the function {place}' if place else ''})"
    if node.op in WITH_ATTRIBUTE:
        attribute, harmless = WITH_ATTRIBUTE[node.op]
        # Asking for an attribute that is not there would make it.
        value = node.attr[attribute].s if attribute in node.attr else b""
        if value.decode(errors="replace") in harmless:
            return
    elif node.op in ALLOWED or node.op in SAVER:
        return
    elif op_def_registry.get(node.op) is None:
        raise Unsupported(
            f"{path!r} has an op that this TensorFlow does not know: {where}",
            "it comes from an extension of TensorFlow: export the model without it",
        )
    why = next((text for key, text in _REASONS.items() if re.search(key, node.op)), None)
    told = f"which {why}" if why else "which is not among the ops known to be harmless"
    raise Unsafe(f"{path!r} has an op {where}, {told}", "export the model without it")


def _declared(node: Any) -> int:
    """Return how many bytes a constant has that it does not hold: one number stands for many."""
    import tensorflow as tf

    tensor = node.attr["value"].tensor
    try:
        width = max(int(tf.as_dtype(tensor.dtype).size), _LEAST_WIDTH)
    except TypeError:  # there is no such type, and TensorFlow will say so
        width = _LEAST_WIDTH
    count: int = math.prod(max(dim.size, 0) for dim in tensor.tensor_shape.dim)
    return max(count * width - 8 * int(tensor.ByteSize()), 0)


def _check_declared(declared: int, node: Any, path: str) -> None:
    if declared > _MOST_DECLARED:
        raise Unsafe(
            f"{path!r} has constants that declare {declared:,} bytes more than they hold, up to"
            f" {node.name!r}",
            _ANEW,
        )


def _check_calls(meta: Any, path: str) -> None:
    """Refuse functions that call themselves, or that unfold to more than any model has."""
    functions = {f.signature.name: f.node_def for f in meta.graph_def.library.function}
    sizes: dict[str, int] = {}

    def size(name: str, depth: int) -> int:
        if depth > _DEEPEST:
            raise Unsafe(f"{path!r} has functions that call each other without end: {name}", _ANEW)
        if name not in sizes:
            calls = (n for node in functions[name] for n in (*functions_of(node), node.op))
            below = sum(size(n, depth + 1) for n in calls if n in functions)
            sizes[name] = len(functions[name]) + below
        return sizes[name]

    for name in functions:
        if size(name, 0) > _MOST_NODES:
            raise Unsafe(
                f"{path!r} has a function {name} of {sizes[name]:,} nodes with all it calls", _ANEW
            )
