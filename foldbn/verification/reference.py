"""What the original model computes: the truth that everything is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import BadSamples, Unsupported
from foldbn.frontends.frozen import FrozenModel, node_of
from foldbn.frontends.precision import GraphRunner, widen
from foldbn.verification.batches import Outputs, Samples, run_in_batches
from foldbn.verification.jitter import MANY_TRIES, jitter_of
from foldbn.verification.long_sums import with_rounded_sums
from foldbn.verification.saturation import with_rough_tails

_ULP = float(np.finfo(np.float32).eps)
_HALVES = ("float16", "bfloat16")


@dataclass(frozen=True)
class Yardstick:
    """A graph whose own rounding tells how far off an artefact may be.

    Attributes:
        model: the graph, in the precision that it is measured in.
        unit: the unit in the last place of 1 of that precision.
    """

    model: FrozenModel
    unit: float = _ULP


@dataclass(frozen=True)
class Reference:
    """What the original model computes for some samples.

    Attributes:
        samples: the inputs, by name.
        exact: its outputs in float64, by name.
        single: the outputs of the yardstick, by name: of the model in float32, say.
        own: the outputs of the original in its own precision, by name.
        jitter: how far its float64 outputs move, root mean square over a few tries, when the
            inputs are up to two float32 units off, and long sums and saturated functions inside
            by what float32 may make of them: how much it amplifies any rounding.
        depth: how many matrix products and convolutions the graph has.
        bounded: outputs of a sigmoid or its like, whose unit is 1 however small they are.
        probabilities: outputs of a softmax, whose units are those of their logarithms.
        unit: the unit in the last place of 1 of the yardstick's precision.
        original: the model, if there may be more tries.
    """

    samples: Samples
    exact: Outputs
    single: Outputs
    own: Outputs
    jitter: Outputs
    depth: int
    bounded: frozenset[str]
    probabilities: frozenset[str]
    unit: float
    original: FrozenModel | None = None


class Evaluator:
    """Runs a frozen graph on samples, as often as asked."""

    def __init__(self, model: FrozenModel) -> None:
        self._model, self._runner = model, GraphRunner(model)

    def __call__(self, samples: Samples) -> Outputs:
        """Return the outputs for `samples`, by name."""
        count = len(next(iter(samples.values())))
        return run_in_batches(self._run, samples, (self._model.batch_size or count,))

    def inside(self, tensors: Sequence[str], samples: Samples) -> list[NDArray[Any]]:
        """Return inner tensors for the first samples, as many as the graph takes or one."""
        count = self._model.batch_size or 1
        return self._fetch(tensors, {name: array[:count] for name, array in samples.items()})

    def has_floats(self, tensor: str) -> bool:
        """Whether the graph has an inner tensor of this name, and it holds floats."""
        return self._runner.has_floats(tensor)

    def _run(self, part: Samples) -> Outputs:
        ports = self._model.outputs
        values = self._fetch([port.node for port in ports], part)
        return {
            port.name: value.astype(np.float32) if port.dtype in _HALVES else value
            for port, value in zip(ports, values, strict=True)
        }

    def _fetch(self, tensors: Sequence[str], part: Samples) -> list[NDArray[Any]]:
        feed = {port.node: part[port.name].astype(port.dtype) for port in self._model.inputs}
        return self._runner.run(list(tensors), feed)


def in_float64(model: FrozenModel) -> Evaluator:
    """Return an evaluator of `model` that computes in float64."""
    return Evaluator(widen(model))


def computes(model: FrozenModel, sets: Sequence[Samples]) -> bool:
    """Whether `model` takes all samples: an index may be beyond the table that it looks up."""
    evaluate = Evaluator(model)
    try:
        for samples in sets:
            evaluate(samples)
    except Unsupported:
        return False
    return True


def make_references(
    original: FrozenModel,
    sets: Sequence[Samples],
    exactly: Evaluator | None = None,
    *,
    yardstick: Yardstick | None = None,
    own: FrozenModel | None = None,
) -> list[Reference]:
    """Evaluate the original model in float64 and in coarser precisions, on each set of samples.

    Samples on which the yardstick overflows prove nothing and are left out, and so are sets of
    which nothing is left.

    Args:
        original: the model in float32.
        sets: of samples.
        exactly: the evaluator of `original` in float64, if there is one already.
        yardstick: tells how far off an artefact may be; `original`, if not given.
        own: the model as the framework gave it; `original`, if not given.

    Raises:
        BadSamples: no sample is left, or an output is empty.
        Unsupported: the model's output for a sample depends on its batch, or on chance.
    """
    exactly, yardstick = exactly or in_float64(original), yardstick or Yardstick(original)
    singly = natively = _rounding(yardstick.model, original, sets[0])
    if own is not None and own is not yardstick.model:
        natively = _rounding(own, original, sets[0])
    roughly: Evaluator | None = None
    references = []
    for samples in sets:
        exact = exactly(samples)
        _check_numbers(samples, exact)
        single = singly(samples)
        native = single if natively is singly else natively(samples)
        if original.batch_size is None and samples is sets[-1]:
            _check_independence(exact, exactly({n: array[:1] for n, array in samples.items()}))
        # Lengths that the model does not take have been told by now.
        roughly = roughly or _roughened(original, samples) or exactly
        jitter = jitter_of(roughly, samples, exact)
        good = _finite(samples, exact, single, jitter)
        if good.any():
            references.append(
                Reference(
                    samples=_only(good, samples),
                    exact=_only(good, exact),
                    single=_only(good, single),
                    own=_only(good, native),
                    jitter=_only(good, jitter),
                    depth=_depth(original),
                    bounded=_computed_by(original, "Sigmoid", "Tanh", "Erf"),
                    probabilities=_computed_by(original, "Softmax"),
                    unit=yardstick.unit,
                    original=original,
                )
            )
    if not references:
        raise BadSamples(
            "the original model's outputs are NaN or infinite on every sample",
            "give inputs that it can compute with --samples",
        )
    return references


def steadied(reference: Reference) -> Reference:
    """Return a reference whose jitter is that of many tries, which makes it a steady guess."""
    original, samples = reference.original, reference.samples
    if original is None:
        return reference
    roughly = _roughened(original, samples) or in_float64(original)
    jitter = jitter_of(roughly, samples, reference.exact, MANY_TRIES)
    return replace(reference, jitter=jitter, original=None)


def _roughened(original: FrozenModel, samples: Samples) -> Evaluator | None:
    """Return an evaluator that is off where float32 may be more than the original; or None."""
    wide = widen(original)
    tails = with_rough_tails(wide)
    rough = with_rounded_sums(tails or wide, samples) or tails
    return None if rough is None else Evaluator(rough)


def _rounding(model: FrozenModel, single: FrozenModel, samples: Samples) -> Evaluator:
    """Return an evaluator of `model`, or of `single` if TensorFlow's CPU lacks a kernel for it.

    It has none for some ops in float16 and bfloat16, three-dimensional pooling say.
    """
    evaluator = Evaluator(model)
    if model is single:
        return evaluator
    try:
        evaluator({name: array[:1] for name, array in samples.items()})
    except Unsupported:
        return Evaluator(single)
    return evaluator


def _only(good: NDArray[np.bool_], arrays: Outputs) -> Outputs:
    return {name: array[good] for name, array in arrays.items()}


def _finite(samples: Samples, *outputs: Outputs) -> NDArray[np.bool_]:
    """Return which samples have finite outputs only."""
    count = len(next(iter(samples.values())))
    arrays = [array.astype(np.float64) for each in outputs for array in each.values()]
    finite = np.ones(count, bool)
    for array in arrays:
        finite &= np.isfinite(array).reshape(count, -1).all(axis=1)
    return finite


def _check_numbers(samples: Samples, exact: Outputs) -> None:
    """Refuse samples of lengths that leave nothing of an output."""
    for name, array in exact.items():
        if not array.size:
            given = ", ".join(f"{port!r} {each.shape}" for port, each in samples.items())
            raise BadSamples(
                f"{name!r} holds no number on inputs of the shapes {given}: its shape is"
                f" {array.shape}",
                "give inputs of lengths that leave something of it, with --samples",
            )


def _check_independence(exact: Outputs, alone: Outputs) -> None:
    """Refuse a model whose output for a sample depends on the batch or on chance."""
    for name, array in exact.items():
        if not np.allclose(array[:1], alone[name], rtol=1e-6, atol=1e-9, equal_nan=True):
            raise Unsupported(
                f"{name!r} of one sample depends on the others in its batch, or on chance",
                "a BatchNormalization or Dropout runs in training mode: export the model for"
                " inference; or a TimeDistributed of Keras 3 has steps of unknown number, which it"
                " counts by the batch: give the model's input a length",
            )


def _computed_by(model: FrozenModel, *kinds: str) -> frozenset[str]:
    """Return the outputs that one of these kinds of node computes."""
    nodes = {node.name: node for node in model.graph_def.node}
    names = set()
    for port in model.outputs:
        node = nodes[port.node]
        while node.op in ("Identity", "Reshape"):
            node = nodes[node_of(node.input[0])]
        if node.op in kinds:
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
        "Conv3DBackpropInputV2",
    )
    return max(1, sum(node.op in products for node in model.graph_def.node))
