"""What is rebuilt of a file of Keras 3 itself, where Keras 3 cannot load it.

Only the graph is built anew: nested models were configured otherwise until 3.6, and the operations
of keras.ops are confused with layers in .h5 files.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from foldbn.frontends.legacy.context import Rebuilding


def operation_of(entry: dict[str, Any], rebuilding: Rebuilding) -> Any:
    """Return the layer or operation that Keras 3 serialized."""
    import keras

    config = entry.get("config") or {}
    bare = "module" not in entry and not {"trainable", "dtype", "batch_shape"} & config.keys()
    found = _operation_class(entry["class_name"]) if bare else None
    if found is not None:
        return found(**config)
    with keras.saving.custom_object_scope(rebuilding.own):
        # In .h5 files a layer does not say where it is from: from Keras, or it is the user's.
        stated = {"module": "keras.layers", "registered_name": None, **entry}
        return keras.saving.deserialize_keras_object(stated, safe_mode=True)


def _operation_class(kind: str) -> Any:
    """Return the class in keras.ops of this name: a pure function of tensors, without weights."""
    import keras
    from keras.src.ops import core, image, linalg, math, nn, numpy

    for module in (numpy, nn, core, math, image, linalg):
        found = getattr(module, kind, None)
        if isinstance(found, type) and issubclass(found, keras.Operation):
            return found
    return None


def assign_zip(model: Any, path: Path) -> None:
    """Load the weights of a .keras archive of Keras 3 into a model of the same layers."""
    with tempfile.TemporaryDirectory(prefix="foldbn-") as folder, zipfile.ZipFile(path) as archive:
        copy = Path(folder) / "model.weights.h5"
        with archive.open("model.weights.h5") as stored, copy.open("wb") as target:
            shutil.copyfileobj(stored, target)
        model.load_weights(copy)
