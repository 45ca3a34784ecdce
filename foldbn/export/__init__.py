"""Write a frozen graph as ONNX and TFLite, and count what is in such a file."""

from typing import Literal

from foldbn.errors import UsageError
from foldbn.export.onnx_file import DEFAULT_OPSET, sign, to_onnx
from foldbn.export.statistics import GraphStatistics, format_of, statistics_of
from foldbn.export.tflite_file import to_tflite
from foldbn.frontends.frozen import FrozenModel

Format = Literal["onnx", "tflite"]
BatchSize = int | Literal["dynamic"] | None

__all__ = [
    "DEFAULT_OPSET",
    "BatchSize",
    "Format",
    "GraphStatistics",
    "export",
    "format_of",
    "sign",
    "statistics_of",
    "to_onnx",
    "to_tflite",
]


def export(
    model: FrozenModel, kind: Format, batch_size: BatchSize, opset: int, *, sketch: bool = False
) -> bytes:
    """Return `model` as a file of format `kind`.

    Args:
        model: to be exported.
        kind: which format.
        batch_size: leading axis; None is the model's own where it fixes it, otherwise dynamic for
            ONNX and 1 for TFLite.
        opset: of an ONNX file.
        sketch: the file is only looked at, never run: its numbers may be left out where that
            is quicker.

    Raises:
        ConversionFailed: the exporter refuses.
        UsageError: the model itself fixes its batch axis, to another length.
    """
    own = model.batch_size
    if own is not None and batch_size not in (None, own):
        raise UsageError(f"the model fixes its batch axis to {own}; it cannot be {batch_size}")
    fixed = batch_size if isinstance(batch_size, int) else own
    if kind == "onnx":
        return to_onnx(model, batch_size=fixed, opset=opset)
    length = 1 if fixed is None and batch_size is None else fixed
    return to_tflite(model, batch_size=length, sketch=sketch)
