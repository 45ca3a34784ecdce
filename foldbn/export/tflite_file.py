"""Export a frozen graph to TFLite with TensorFlow's converter, its signature kept."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from typing import Any

from foldbn.errors import ConversionFailed, said
from foldbn.export.stand_ins import with_splats
from foldbn.export.tflite_channels import with_channels_last
from foldbn.export.tflite_functions import with_finite_functions
from foldbn.export.tflite_lists import settle_lists
from foldbn.export.tflite_maps import with_maps_of_images
from foldbn.export.tflite_names import with_names, with_plain_names
from foldbn.export.tflite_pools import with_pools_of_planes
from foldbn.export.tflite_reshapes import with_known_lengths
from foldbn.export.tflite_volumes import with_ops_of_images
from foldbn.export.tflite_weights import fill
from foldbn.frontends.frozen import DEFAULT_SIGNATURE, FrozenModel
from foldbn.frontends.written_out import with_single_groups

_WRONG = re.compile(r"\berror: (.+)")  # of MLIR: place, kind, message; then the line at that place


def to_tflite(model: FrozenModel, *, batch_size: int | None = 1, sketch: bool = False) -> bytes:
    """Return `model` as a TFLite flatbuffer with one signature, named as the model's.

    Args:
        model: to be exported.
        batch_size: length of the leading axis; None leaves it dynamic.
        sketch: leave numbers of no meaning in place of the great weights: the file has the
            nodes and the size of the right one, and is there much sooner.

    Raises:
        ConversionFailed: the converter refuses.
    """
    plain = with_single_groups(with_channels_last(model.with_batch_size(batch_size)))
    sized = with_ops_of_images(with_pools_of_planes(plain))
    if batch_size is not None:
        sized = settle_lists(sized, batch_size)
    sized = with_maps_of_images(with_finite_functions(with_known_lengths(sized)))
    light = with_splats(sized)
    try:
        content = _convert(light.model)
        if sketch:
            return content
        return fill(content, light) or _convert(replace(sized, graph_def=sized.whole(), values={}))
    except Exception as error:  # the converter raises whatever it stumbles over
        raise ConversionFailed(
            f"TensorFlow's converter cannot export the model to TFLite: {_gist(error)}",
            _hint(str(error), batch_size),
        ) from error


def _hint(text: str, batch_size: int | None) -> str:
    """Return what to do: the lists in which recurrent layers keep their steps have a fixed size."""
    if batch_size is None and "TensorList" in text:
        return "leave --batch-size out: recurrent layers go to TFLite with a fixed batch only"
    return "foldbn convert --to onnx leaves TFLite out"


def _gist(error: Exception) -> str:
    """Return what is wrong, without the lines of Python by which the converter was called."""
    return next((found[1].strip()[:300] for found in _WRONG.finditer(str(error))), said(error))


def _convert(model: FrozenModel) -> bytes:
    import tensorflow as tf

    plain, names = with_plain_names(model)
    module = tf.Module()
    module.serve = _concrete_function(plain)
    if model.signature == DEFAULT_SIGNATURE:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([module.serve], module)
        return with_names(_run(converter), names)
    # Only by way of a SavedModel does the converter keep a signature's own name.
    with tempfile.TemporaryDirectory(prefix="foldbn-") as folder:
        tf.saved_model.save(module, folder, signatures={model.signature: module.serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, [model.signature])
        return with_names(_run(converter), names)


def _run(converter: Any) -> bytes:
    """Convert, without two last steps that copy all weights several times.

    One looks for equal weights, and stand-ins are never equal; the other adds a note about the
    converter's options.
    """
    converter._optimize_tflite_model = lambda content, *_, **__: content  # noqa: SLF001
    converter.exclude_conversion_metadata = True
    return bytes(converter.convert())


def _concrete_function(model: FrozenModel) -> Any:
    import tensorflow as tf

    specs = [tf.TensorSpec(port.shape, port.dtype, name=port.name) for port in model.inputs]

    def serve(*arguments: Any) -> dict[str, Any]:
        pairs = zip(model.inputs, arguments, strict=True)
        results = tf.graph_util.import_graph_def(
            model.graph_def,
            input_map={f"{port.node}:0": argument for port, argument in pairs},
            return_elements=[f"{port.node}:0" for port in model.outputs],
            name="",
        )
        return {port.name: result for port, result in zip(model.outputs, results, strict=True)}

    return tf.function(serve, autograph=False).get_concrete_function(*specs)
