"""The process that does the heavy work, so that the command never imports TensorFlow.

Its descriptors 1 and 2 go to a log, for TensorFlow prints to both from C++; results and
progress come back as lines of JSON over a pipe of their own.
"""

from foldbn.worker.client import run
from foldbn.worker.limits import Limits

__all__ = ["Limits", "run"]
