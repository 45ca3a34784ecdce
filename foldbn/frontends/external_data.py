"""Weights of an ONNX file that lie in files beside it: where they may lie, and how to get them.

onnxruntime opens what an ONNX file names, so the names are looked at first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from foldbn.errors import Unreadable, Unsafe, said

_HINT = "the files of an ONNX model's weights lie in its own folder or below"


def check_external_data(proto: Any, folder: Path, name: str) -> bool:
    """Look at where the weights of an ONNX model lie, without opening any file.

    Args:
        proto: an onnx.ModelProto, loaded without its external data.
        folder: of the ONNX file.
        name: of the ONNX file, for messages.

    Returns:
        Whether any weights lie in other files.

    Raises:
        Unsafe: a place is outside the folder, or a link.
        Unreadable: a file is missing or shorter than its weights.
    """
    found = False
    for tensor in _tensors(proto):
        if tensor.data_location == tensor.EXTERNAL:
            found = True
            _check({entry.key: entry.value for entry in tensor.external_data}, folder, name)
    return found


def with_external_data(content: bytes, folder: Path, name: str) -> bytes:
    """Return an ONNX file with the weights in it that lie in files beside it.

    Raises:
        Unsafe, Unreadable: as `check_external_data`.
    """
    import onnx

    if b"location" not in content:
        return content
    try:
        proto = onnx.load_from_string(content)
    except Exception:  # noqa: BLE001 - what is no ONNX file is not ours to explain
        return content
    if not check_external_data(proto, folder, name):
        return content
    try:
        onnx.load_external_data_for_model(proto, str(folder))
        return bytes(proto.SerializeToString())
    except Exception as error:  # onnx and protobuf raise their own
        raise Unreadable(f"cannot read the weights of {name!r}: {said(error)}") from error


def _check(entry: dict[str, str], folder: Path, name: str) -> None:
    location = entry.get("location", "")
    place = PurePosixPath(location)
    if not location or place.is_absolute() or ".." in place.parts or "\\" in location:
        raise Unsafe(f"{name!r} has weights outside its folder: {location!r}", _HINT)
    path = folder / place
    if any((folder / part).is_symlink() for part in (place, *place.parents) if part.name):
        raise Unsafe(f"{name!r} has weights behind a link: {location!r}", _HINT)
    if not path.is_file():
        raise Unreadable(f"{name!r} has weights in {location!r}, which is no file", _HINT)
    offset, length = (_count(entry.get(key, "0"), name) for key in ("offset", "length"))
    if offset + length > path.stat().st_size:
        raise Unreadable(
            f"{location!r} holds {path.stat().st_size:,} bytes, {name!r} wants {offset + length:,}",
            "was the download or copy interrupted?",
        )


def _count(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise Unreadable(f"{name!r} has weights at no place: {text!r}", _HINT)
    return int(text)


def _tensors(proto: Any) -> Iterator[Any]:
    """Yield every tensor of a model, in whatever graph, node or function it stands."""
    yield from _of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)
