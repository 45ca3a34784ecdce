"""The first half of the proof: original and folded graph agree in float64.

A fold that is wrong in any way shows here, for nothing but float64 rounding is left:
``max|a - b| / max|a| <= 1e-9`` over every output.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldbn.errors import VerificationFailed
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
        depth: how many matrix products and convolutions a sample passes at the most.
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
    """Evaluate the original model in float64 and in its own precision."""
    return Reference(
        samples,
        exact=evaluate(widen(original), samples),
        single=evaluate(original, samples),
        depth=_depth(original),
    )


def _depth(model: FrozenModel) -> int:
    products = ("MatMul", "BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Einsum")
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
                "this is a bug in foldbn, or the model's outputs are not finite: nothing was"
                " written; please report it",
            )
        worst = max(worst, gap.max_rel)
    return Algebra(checked=True, max_rel=worst, samples=count)
