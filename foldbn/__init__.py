"""Fold the BatchNormalization of trained Keras models away, prove it, export ONNX and TFLite.

    import foldbn

    result = foldbn.convert("model.h5")
    print(result.summary, [artifact.path for artifact in result.artifacts])

Importing foldbn imports no framework; TensorFlow comes in when a model is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foldbn.errors import FoldbnError
from foldbn.latencies import Benchmark
from foldbn.results import Conversion, Inspection, Verification
from foldbn.version import __version__

if TYPE_CHECKING:
    from foldbn.pipeline import bench, convert, inspect, verify

__all__ = [
    "Benchmark",
    "Conversion",
    "FoldbnError",
    "Inspection",
    "Verification",
    "__version__",
    "bench",
    "convert",
    "inspect",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import the four functions, and NumPy with them, when one of them is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'foldbn' has no attribute {name!r}")
    return getattr(import_module("foldbn.pipeline"), name)
