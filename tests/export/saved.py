"""Functions as SavedModels, read back as foldbn reads any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldbn.frontends import loading
from foldbn.frontends.frozen import FrozenModel


def frozen(
    folder: Path, body: Callable[..., Any], weights: dict[str, Any], **inputs: Any
) -> FrozenModel:
    """Return a model that loading has made of a function.

    Args:
        folder: where the SavedModel is written.
        body: takes the weights by name, then the inputs in their order; returns the output.
        weights: are variables of the SavedModel.
        inputs: element type and shape by name.
    """
    import tensorflow as tf

    module = tf.Module()
    module.variables_ = {name: tf.Variable(value) for name, value in weights.items()}
    specs = [tf.TensorSpec(shape, kind, name) for name, (kind, shape) in inputs.items()]

    def serve(*given: Any) -> dict[str, Any]:
        return {"y": body(*given, **module.variables_)}

    module.serve = tf.function(serve, specs, autograph=False)
    path = folder / "saved"
    tf.saved_model.save(module, str(path), {"serving_default": module.serve})
    return loading.load(path).simplified
