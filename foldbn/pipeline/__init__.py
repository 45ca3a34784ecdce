"""The journey of a model, step by step: load, fold, verify, export, benchmark.

The steps live on the floors below; here they are only strung together, into the public
functions.
"""

from foldbn.pipeline.checking import inspect, verify
from foldbn.pipeline.converting import convert
from foldbn.pipeline.timing import bench

__all__ = ["bench", "convert", "inspect", "verify"]
