"""The first half of the proof: original and folded graph agree in float64.

A fold that is wrong in any way shows here, for nothing but float64 rounding is left:
``max|a - b| / max|a| <= 1e-9`` over every output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import BadSamples, Unsupported, VerificationFailed
from foldbn.frontends.frozen import FrozenModel, node_of
from foldbn.frontends.precision import GraphRunner, widen
from foldbn.results import Algebra
from foldbn.verification.batches import Outputs, Samples, run_in_batches
from foldbn.verification.metrics import distance

TOLERANCE = 1e-9
_TRIES = 3
_UNITS = 2 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Reference:
    """What the original model computes for some samples.

    Attributes:
        samples: the inputs, by name.
        exact: its outputs in float64, by name.
        single: its outputs in its own precision, by name.
        jitter: how far its float64 outputs move, root mean square over a few tries, when the
            inputs are up to two float32 units off: how much it amplifies any rounding.
        depth: how many matrix products and convolutions the graph has.
        bounded: outputs of a sigmoid or its like, whose unit is 1 however small they are.
    """

    samples: Samples
    exact: Outputs
    single: Outputs
    jitter: Outputs
    depth: int
    bounded: frozenset[str]


class Evaluator:
    """Runs a frozen graph on samples, as often as asked."""

    def __init__(self, model: FrozenModel) -> None:
        self._model, self._runner = model, GraphRunner(model)

    def __call__(self, samples: Samples) -> Outputs:
        """Return the outputs for `samples`, by name."""
        count = len(next(iter(samples.values())))
        return run_in_batches(self._run, samples, (self._model.batch_size or count,))

    def _run(self, part: Samples) -> Outputs:
        feed = {port.node: part[port.name].astype(port.dtype) for port in self._model.inputs}
        values = self._runner.run([port.node for port in self._model.outputs], feed)
        return dict(zip((port.name for port in self._model.outputs), values, strict=True))


def make_references(original: FrozenModel, sets: Sequence[Samples]) -> list[Reference]:
    """Evaluate the original model in float64 and in its own precision, on each set of samples.

    Samples on which the original itself overflows prove nothing and are left out, and so are
    sets of which nothing is left.

    Raises:
        BadSamples: no sample is left.
        Unsupported: the model's output for a sample depends on its batch, or on chance.
    """
    exactly, singly = Evaluator(widen(original)), Evaluator(original)
    references = []
    for samples in sets:
        exact, single = exactly(samples), singly(samples)
        if original.batch_size is None:
            _check_independence(exact, exactly({n: array[:1] for n, array in samples.items()}))
        jitter = _jitter(exactly, samples, exact)
        good = _finite(samples, exact, single, jitter)
        if good.any():
            references.append(
                Reference(
                    samples=_only(good, samples),
                    exact=_only(good, exact),
                    single=_only(good, single),
                    jitter=_only(good, jitter),
                    depth=_depth(original),
                    bounded=_bounded(original),
                )
            )
    if not references:
        raise BadSamples(
            "the original model's outputs are NaN or infinite on every sample",
            "give inputs that it can compute with --samples",
        )
    return references


def _only(good: NDArray[np.bool_], arrays: Outputs) -> Outputs:
    return {name: array[good] for name, array in arrays.items()}


def _jitter(evaluate: Evaluator, samples: Samples, exact: Outputs) -> Outputs:
    """Return how far each output moves when the inputs are off by what float32 cannot tell."""
    rng = np.random.default_rng(0)
    moved = {name: np.zeros(array.shape) for name, array in exact.items()}
    for _ in range(_TRIES):
        shaken = {
            name: array * (1 + _UNITS * rng.uniform(-1, 1, array.shape))
            if array.dtype.kind == "f"
            else array
            for name, array in samples.items()
        }
        for name, array in evaluate(shaken).items():
            moved[name] += np.square(array - exact[name]) / _TRIES
    return {name: np.sqrt(array) for name, array in moved.items()}


def _finite(samples: Samples, *outputs: Outputs) -> NDArray[np.bool_]:
    """Return which samples have finite outputs only."""
    count = len(next(iter(samples.values())))
    arrays = [array.astype(np.float64) for each in outputs for array in each.values()]
    finite = np.ones(count, bool)
    for array in arrays:
        finite &= np.isfinite(array).reshape(count, -1).all(axis=1)
    return finite


def _check_independence(exact: Outputs, alone: Outputs) -> None:
    """Refuse a model whose output for a sample depends on the batch or on chance."""
    for name, array in exact.items():
        if not np.allclose(array[:1], alone[name], rtol=1e-6, atol=1e-9, equal_nan=True):
            raise Unsupported(
                f"{name!r} of one sample depends on the others in its batch, or on chance",
                "a BatchNormalization or Dropout runs in training mode: export the model for"
                " inference",
            )


def _bounded(model: FrozenModel) -> frozenset[str]:
    """Return the outputs that an activation of range one computes."""
    nodes = {node.name: node for node in model.graph_def.node}
    names = set()
    for port in model.outputs:
        node = nodes[port.node]
        while node.op in ("Identity", "Reshape"):
            node = nodes[node_of(node.input[0])]
        if node.op in ("Sigmoid", "Tanh", "Erf"):
            names.add(port.name)
    return frozenset(names)


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


def check_algebra(references: Sequence[Reference], folded: FrozenModel) -> Algebra:
    """Hold the folded graph, in float64, against the references.

    Raises:
        VerificationFailed: an output is further off than float64 rounding.
    """
    evaluate = Evaluator(widen(folded))
    worst, count = 0.0, 0
    for reference in references:
        outputs = evaluate(reference.samples)
        count += len(next(iter(reference.samples.values())))
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
