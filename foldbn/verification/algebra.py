"""The first half of the proof: original and folded graph agree in float64.

A fold that is wrong in any way shows here, for nothing but float64 rounding is left:
``max|a - b| / max|a| <= 1e-9`` over every output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import BadSamples, Unsupported, VerificationFailed
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.precision import GraphRunner, widen
from foldbn.results import Algebra
from foldbn.verification.batches import Outputs, Samples, run_in_batches
from foldbn.verification.metrics import distance

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Reference:
    """What the original model computes for some samples.

    Attributes:
        samples: the inputs, by name.
        exact: its outputs in float64, by name.
        single: its outputs in its own precision, by name.
        depth: how many matrix products and convolutions the graph has.
    """

    samples: Samples
    exact: Outputs
    single: Outputs
    depth: int


def evaluate(model: FrozenModel, samples: Samples) -> Outputs:
    """Return the outputs of a frozen graph for `samples`, by name."""
    runner = GraphRunner(model.graph_def)
    names = [port.name for port in model.outputs]

    def run(part: Samples) -> Outputs:
        feed = {port.node: part[port.name].astype(port.dtype) for port in model.inputs}
        values = runner.run([port.node for port in model.outputs], feed)
        return dict(zip(names, values, strict=True))

    count = len(next(iter(samples.values())))
    return run_in_batches(run, samples, (model.batch_size or count,))


def make_reference(original: FrozenModel, samples: Samples) -> Reference:
    """Evaluate the original model in float64 and in its own precision.

    Samples on which the original itself overflows prove nothing and are left out.

    Raises:
        BadSamples: no sample is left.
    """
    exact, single = evaluate(widen(original), samples), evaluate(original, samples)
    _check_independence(original, samples, exact)
    count = len(next(iter(samples.values())))
    good = np.all(
        [np.isfinite(array).reshape(count, -1).all(axis=1) for array in _floats(exact, single)],
        axis=0,
    )
    if not good.any():
        raise BadSamples(
            "the original model's outputs are NaN or infinite on every sample",
            "give inputs that it can compute with --samples",
        )

    def kept(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: array[good] for name, array in arrays.items()}

    return Reference(kept(samples), kept(exact), kept(single), _depth(original))


def _check_independence(original: FrozenModel, samples: Samples, exact: Outputs) -> None:
    """Refuse a model whose output for a sample depends on the batch or on chance."""
    if original.batch_size is not None:
        return
    alone = evaluate(widen(original), {name: array[:1] for name, array in samples.items()})
    for name, array in exact.items():
        if not np.allclose(array[:1], alone[name], rtol=1e-6, atol=1e-9, equal_nan=True):
            raise Unsupported(
                f"{name!r} of one sample depends on the others in its batch, or on chance",
                "a BatchNormalization or Dropout runs in training mode: export the model for"
                " inference",
            )


def _floats(*outputs: Outputs) -> list[NDArray[Any]]:
    return [array.astype(np.float64) for each in outputs for array in each.values()]


def _depth(model: FrozenModel) -> int:
    products = (
        "MatMul",
        "BatchMatMulV2",
        "Conv2D",
        "Conv3D",
        "DepthwiseConv2dNative",
        "Einsum",
        "BatchMatMulV3",
        "Conv2DBackpropInput",
    )
    return max(1, sum(node.op in products for node in model.graph_def.node))


def check_algebra(reference: Reference, folded: FrozenModel) -> Algebra:
    """Hold the folded graph, in float64, against the reference.

    Raises:
        VerificationFailed: an output is further off than float64 rounding.
    """
    outputs = evaluate(widen(folded), reference.samples)
    count = len(next(iter(reference.samples.values())))
    worst = 0.0
    for name, exact in reference.exact.items():
        gap = distance(exact, outputs[name])
        if not gap.max_rel <= TOLERANCE:
            raise VerificationFailed(
                f"the folded graph differs in float64: {name!r} by {gap.max_rel:.1e} of its"
                f" range, the algebra allows {TOLERANCE:.0e}",
                "nothing was written: this is a bug in foldbn, please report it",
            )
        worst = max(worst, gap.max_rel)
    return Algebra(checked=True, max_rel=worst, samples=count)
