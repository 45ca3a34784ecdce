"""Tell ONNX from TFLite by content: suffixes lie, and a wrong runtime's error says little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from foldbn.errors import Unreadable
from foldbn.frontends.external_data import check_external_data

if TYPE_CHECKING:
    from pathlib import Path

Format = Literal["onnx", "tflite"]


def format_of(path: Path) -> Format:
    """Name the format of the file at `path`.

    A TFLite file is a flatbuffer whose identifier, bytes 4 to 8, is ``TFL3``
    (tensorflow/lite/schema/schema.fbs). ONNX has no magic number, so the whole protobuf
    is parsed; weights in files beside it are not read.

    Raises:
        Unreadable: the file is missing, is a directory, is of neither format, or its weights lie
            in files that are missing or short.
        Unsafe: its weights lie outside its folder.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise Unreadable(
            f"{path}: {error.strerror or error}", "give the path of an .onnx or .tflite file"
        ) from error
    if head[4:8] == b"TFL3":
        return "tflite"
    if (model := _read_onnx(path)) is not None:
        check_external_data(model, path.parent, str(path))
        return "onnx"
    raise Unreadable(
        f"{path} is neither ONNX nor TFLite",
        "foldbn convert makes .onnx and .tflite files of a Keras model or SavedModel",
    )


def _read_onnx(path: Path) -> Any:
    """Return the file as a protobuf if it is ONNX, otherwise None."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # noqa: BLE001 - protobuf's DecodeError cannot be reached through onnx
        return None
    # An empty file, and many a short text, parse as a protobuf without any known field.
    known = model.ir_version > 0 and model.HasField("graph") and len(model.opset_import) > 0
    return model if known else None
