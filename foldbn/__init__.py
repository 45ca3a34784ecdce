"""Fold the BatchNormalization of trained Keras models away, prove it, export ONNX and TFLite.

    import foldbn

    result = foldbn.convert("model.h5")
    print(result.summary, [artifact.path for artifact in result.artifacts])

Importing foldbn imports no framework; TensorFlow comes in when a model is loaded.
"""

from foldbn.errors import FoldbnError
from foldbn.pipeline import bench, convert, inspect, verify
from foldbn.results import Benchmark, Conversion, Inspection, Verification
from foldbn.version import __version__

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
