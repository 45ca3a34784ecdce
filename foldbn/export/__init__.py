"""Write a frozen graph as ONNX, TFLite and SavedModel, and count what is in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from foldbn.errors import UsageError
from foldbn.export.onnx_file import DEFAULT_OPSET, to_onnx
from foldbn.export.saved_model_file import to_saved_model
from foldbn.export.statistics import GraphStatistics, format_of, graph_statistics, statistics_of
from foldbn.export.tflite_file import to_tflite
from foldbn.frontends.frozen import FrozenModel

FileFormat = Literal["onnx", "tflite"]
Format = FileFormat | Literal["savedmodel"]
BatchSize = int | Literal["dynamic"] | None

__all__ = [
    "DEFAULT_OPSET",
    "BatchSize",
    "FileFormat",
    "Format",
    "GraphStatistics",
    "export",
    "export_directory",
    "format_of",
    "graph_statistics",
    "statistics_of",
    "to_onnx",
    "to_saved_model",
    "to_tflite",
]


def export(  # noqa: PLR0913 - the coordinates of a file
    model: FrozenModel,
    kind: FileFormat,
    batch_size: BatchSize,
    opset: int,
    *,
    sketch: bool = False,
    origin: dict[str, str] | None = None,
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
        origin: what an ONNX file says of where it comes from.

    Raises:
        ConversionFailed: the exporter refuses.
        UsageError: the model itself fixes its batch axis, to another length.
    """
    fixed = _fixed(model, batch_size)
    if kind == "onnx":
        return to_onnx(model, batch_size=fixed, opset=opset, origin=origin)
    length = 1 if fixed is None and batch_size is None else fixed
    return to_tflite(model, batch_size=length, sketch=sketch)


def export_directory(models: Sequence[FrozenModel], folder: Path, batch_size: BatchSize) -> None:
    """Write `models` as one SavedModel directory, each under the signature that it names.

    Args:
        models: at least one.
        folder: where to; it is made.
        batch_size: leading axis; None is the models' own where they fix it, otherwise dynamic.

    Raises:
        ConversionFailed: TensorFlow refuses.
        UsageError: a model itself fixes its batch axis, to another length.
    """
    to_saved_model([model.with_batch_size(_fixed(model, batch_size)) for model in models], folder)


def _fixed(model: FrozenModel, batch_size: BatchSize) -> int | None:
    """Return the length of the leading axis that is asked for, None for a dynamic one."""
    own = model.batch_size
    if own is not None and batch_size not in (None, own):
        raise UsageError(f"the model fixes its batch axis to {own}; it cannot be {batch_size}")
    return batch_size if isinstance(batch_size, int) else own
