"""The sizes of inputs that two models are timed on: those that both take."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldbn.benchmark.inputs import leave_lengths_open
from foldbn.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foldbn.benchmark.inputs import InputSpec, Lengths, Shape
    from foldbn.benchmark.sessions import Runner


@dataclass(frozen=True)
class Agreement:
    """What both models are called with.

    Attributes:
        provider: what the candidate really runs on.
        batch_size: samples per call.
        lengths: of what one of them leaves open besides the batch, by the names of both.
        shapes: of the candidate's inputs; None where neither leaves a length open.
    """

    provider: str
    batch_size: int
    lengths: Lengths
    shapes: dict[str, tuple[int, ...]] | None


def agree(
    reference: Callable[..., Runner],
    tested: Callable[..., Runner],
    batch_size: int | None,
    lengths: Lengths,
) -> Agreement:
    """Find the sizes that both take, and what the candidate really runs on.

    Opening both here also pays for what only a process's first session pays: loading the
    runtime's libraries and reading the file from disk. Without a wish an open batch
    follows the other model's fixed one, and so does an open length in any case: two models
    that work on images of two sizes cannot be compared.

    Args:
        reference: opens the reference.
        tested: opens the candidate.
        batch_size: samples per call; None is the models' own.
        lengths: for axes that are open besides the batch, as far as they are known.

    Raises:
        Unsupported: the batches are fixed to two numbers.
    """
    with closing(reference(batch_size=batch_size, lengths=lengths)) as runner:
        other, theirs = runner.batch_size, runner.inputs
    known = _joined(lengths, theirs, theirs)
    with closing(tested(batch_size=batch_size, lengths=known)) as runner:
        ran_on, batch, own = runner.provider, runner.batch_size, runner.inputs
    known = _joined(lengths, theirs, own)
    # A 1 may be open or fixed; if it is fixed, opening the model with `other` says so.
    if batch not in {1, other} and other != 1:
        raise Unsupported(
            f"one model has a fixed batch of {other}, the other of {batch}",
            "export both with the same batch, or with a dynamic one",
        )
    agreed = other if batch == 1 else batch
    if not leave_lengths_open((*theirs, *own)):
        return Agreement(ran_on, agreed, known, None)
    with closing(tested(batch_size=agreed, lengths=known)) as runner:
        shapes = {spec.name: tuple(size or 0 for size in spec.shape) for spec in runner.filled}
    return Agreement(ran_on, agreed, known, shapes)


def _joined(lengths: Lengths, theirs: Sequence[InputSpec], own: Sequence[InputSpec]) -> Lengths:
    """Return what is known of both models' inputs: what one has fixed, then what was asked for."""
    joined: dict[str, Shape] = {}
    for one, other in _pairs(theirs, own):
        shapes = (one.shape, other.shape, lengths.get(one.name, ()), lengths.get(other.name, ()))
        fitting = [shape for shape in shapes if len(shape) == len(one.shape)]
        merged = tuple(
            next((size for size in sizes if size is not None), None)
            for sizes in zip(*fitting, strict=True)
        )
        joined |= {one.name: merged, other.name: merged}
    return {**lengths, **joined}


def _pairs(
    theirs: Sequence[InputSpec], own: Sequence[InputSpec]
) -> list[tuple[InputSpec, InputSpec]]:
    """Pair the inputs by name, and what has another name in order."""
    named = {spec.name: spec for spec in own}
    same = [(spec, named[spec.name]) for spec in theirs if spec.name in named]
    taken = {spec.name for spec, _ in same}
    left, others = ([s for s in specs if s.name not in taken] for specs in (theirs, own))
    return same + list(zip(left, others, strict=False))
