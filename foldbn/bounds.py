"""Which numbers options and arguments may have; the command and the functions share them."""

from __future__ import annotations

import math
import operator
from typing import Any

from foldbn.errors import UsageError

MOST_THREADS = 1024
MOST_SAMPLES = 2**31 - 1  # what TFLite counts an axis with
MOST_SEED = 2**32 - 1
OPSETS = (13, 18)
MOST_SECONDS = 1_000_000  # eleven days; the system's own timers end at twenty-four
MOST_GIGABYTES = 1_000_000
UNKNOWN_LENGTH = 32  # what an axis gets that a model leaves open and nobody gives


def as_seed(value: Any) -> int:
    """Return a seed; raise UsageError where it is none."""
    return _whole("seed", value, 0, MOST_SEED)


def as_threads(value: Any) -> int:
    """Return a number of threads; raise UsageError where it is none."""
    return _whole("threads", value, 1, MOST_THREADS)


def as_opset(value: Any) -> int:
    """Return an opset that foldbn writes; raise UsageError where it is none."""
    return _whole("opset", value, *OPSETS)


def as_batch_size(value: Any) -> int | None:
    """Return a number of samples or None; raise UsageError where it is neither."""
    return None if value is None else _whole("batch_size", value, 1, MOST_SAMPLES)


def as_min_speedup(value: Any) -> float | None:
    """Return a ratio or None; raise UsageError where it is neither."""
    if value is None:
        return None
    try:
        ratio = float(value)
    except (TypeError, ValueError, OverflowError):
        ratio = math.nan
    if not 0 <= ratio < math.inf:
        raise UsageError(f"min_speedup is {_shown(value)}", "it is a ratio, like 1.05")
    return ratio


def _whole(name: str, value: Any, least: int, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(
            f"{name} is {_shown(value)}", f"it is a whole number from {least} to {most}"
        )
    return number


def _shown(value: Any) -> str:
    """Return a value in few characters; Python refuses to write very long numbers."""
    try:
        return repr(value)[:60]
    except ValueError:
        return "a number of thousands of digits"
