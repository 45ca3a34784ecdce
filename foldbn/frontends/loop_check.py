"""Hold loops that were written anew against those of the file, which TensorFlow still runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import FLOATS, FrozenModel, GraphDef
from foldbn.frontends.precision import GraphRunner

_SAMPLES = 3
_CLOSE = 1e-4  # of the output's range: both compute in float32, in another order at most


def check_loops(
    rewritten: FrozenModel, original: GraphDef, values: dict[str, NDArray[Any]]
) -> None:
    """Run a model with its loops as they were and as they are, and compare.

    Args:
        rewritten: the model; its ports are those of the original.
        original: its graph before the loops were written anew, with their control inputs.
        values: of the constants in there that hold a stub.

    Raises:
        Unsupported: they do not compute the same. Where neither takes inputs of made-up lengths,
            nothing is said.
    """
    rng = np.random.default_rng(0)
    feed = {}
    for port in rewritten.inputs:
        zeros = port.zeros(_SAMPLES)
        drawn = rng.standard_normal(zeros.shape) if port.dtype in FLOATS else zeros
        feed[port.node] = drawn.astype(zeros.dtype)
    names = [port.node for port in rewritten.outputs]
    found = _run(rewritten, names, feed)
    wanted = _run(replace(rewritten, graph_def=original, values=values), names, feed)
    if found is None and wanted is None:
        return
    if found is None or wanted is None:
        raise _differ(rewritten.outputs[0].name)
    for port, before, after in zip(rewritten.outputs, wanted, found, strict=True):
        scale = np.abs(before, dtype=np.float64).max(initial=0)
        same = before.shape == after.shape and np.allclose(
            before.astype(np.float64), after, rtol=0, atol=_CLOSE * scale, equal_nan=True
        )
        if not same:
            raise _differ(port.name)


def _run(
    model: FrozenModel, names: list[str], feed: dict[str, NDArray[Any]]
) -> list[NDArray[Any]] | None:
    try:
        return GraphRunner(model).run(names, feed)
    except Unsupported:
        return None


def _differ(output: str) -> Unsupported:
    return Unsupported(
        f"the loops of TensorFlow 1 before {output!r} cannot be written as those of TensorFlow 2:"
        " the outputs differ",
        "export the model again with tf.compat.v1.enable_control_flow_v2()",
    )
