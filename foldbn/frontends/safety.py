"""Refuse a SavedModel whose graphs touch the machine, before TensorFlow loads it.

Loading runs initializers, and freezing runs what depends on constants alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldbn.errors import Unreadable, Unsafe

_FORBIDDEN = {
    "ReadFile": "reads a file",
    "WriteFile": "writes a file",
    "MatchingFiles": "lists files",
    "PyFunc": "runs Python code",
    "PyFuncStateless": "runs Python code",
    "EagerPyFunc": "runs Python code",
    "Save": "writes a file",
    "SaveSlices": "writes a file",
    "WholeFileReaderV2": "reads a file",
    "TextLineReaderV2": "reads a file",
    "TFRecordReaderV2": "reads a file",
    "TextLineDataset": "reads a file",
    "TFRecordDataset": "reads a file",
    "TFRecordDatasetV2": "reads a file",
    "FixedLengthRecordDatasetV2": "reads a file",
    "DebugIdentityV2": "writes a file",
    "DebugIdentityV3": "writes a file",
    "WriteSummary": "writes a file",
    "CreateSummaryFileWriter": "writes a file",
    "RemoteCall": "calls another machine",
}


def read_checked(path: Path) -> Any:
    """Return the protobuf of a SavedModel directory, once no op of it touches the machine.

    Raises:
        Unreadable: saved_model.pb is damaged.
        Unsafe: an op is forbidden, in whatever function it hides.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    try:
        proto.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:  # protobuf raises its own and others
        raise Unreadable(f"saved_model.pb in {str(path)!r} is damaged") from error
    for node in _nodes(proto):
        if node.op in _FORBIDDEN:
            raise Unsafe(
                f"{str(path)!r} has an op {node.op} ({node.name}), which {_FORBIDDEN[node.op]}",
                "export the model without it",
            )
    return proto


def _nodes(proto: Any) -> Iterator[Any]:
    for meta in proto.meta_graphs:
        yield from meta.graph_def.node
        for function in meta.graph_def.library.function:
            yield from function.node_def
