"""The steps that several functions share, and what they may require of the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foldbn import verification
from foldbn.errors import NotFolded, TooSlow, VerificationFailed
from foldbn.folding import fold
from foldbn.frontends import loading, reader, writer
from foldbn.frontends.frozen import DEFAULT_SIGNATURE, FrozenModel
from foldbn.frontends.graph_file import Ports
from foldbn.frontends.loading import LoadedModel
from foldbn.frontends.ranges import ranges_of
from foldbn.latencies import BenchmarkRow
from foldbn.results import ArtifactVerification, Decision

_END = float(np.finfo(np.float32).max)
_NEAR_OVERFLOW = 1e30  # sums and products of such numbers soon are beyond the end of float32

_BUG = "nothing was written: this is a bug in foldbn or in the exporter, please report it"

Notify = Callable[[str, str], None]
PathLike = str | Path


def silent(_event: str, _detail: str) -> None:
    """Tell nobody."""


@dataclass
class Clock:
    """Tells each phase as it begins, and how long each took, in seconds."""

    notify: Notify
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block as part of phase `name`."""
        self.notify("phase", name)
        start = time.perf_counter()
        yield
        spent = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.seconds[name] = round(spent, 3)


@dataclass(frozen=True)
class Folded:
    """A loaded model, and the same folded."""

    loaded: LoadedModel
    decisions: tuple[Decision, ...]
    reordered: tuple[str, ...]
    model: FrozenModel


@dataclass(frozen=True)
class Choices:
    """What the user says of how a model is to be loaded; `load` of the frontends explains each.

    Attributes:
        signature: of a SavedModel.
        custom_objects: a Python file of the user's.
        unsafe: whether stored code may run.
        inputs: of a frozen graph.
        outputs: of a frozen graph.
    """

    signature: str | None = None
    custom_objects: PathLike | None = None
    unsafe: bool = False
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()


def load(path: Path, choices: Choices) -> LoadedModel:
    """Load a model."""
    own = choices.custom_objects
    return loading.load(
        path,
        choices.signature,
        None if own is None else Path(own),
        unsafe=choices.unsafe,
        ports=Ports(tuple(choices.inputs), tuple(choices.outputs)),
    )


def load_and_fold(path: Path, choices: Choices, clock: Clock) -> Folded:
    """Load a model and fold it."""
    with clock.phase("load"):
        loaded = load(path, choices)
    with clock.phase("fold"):
        reading = reader.read(loaded.simplified, loaded.shapes)
        folding = fold(reading.graph)
        model = writer.write(loaded.simplified, reading, folding.graph)
    return Folded(loaded, folding.decisions, folding.reordered, model)


def check_samples(samples: PathLike | None) -> None:
    """Raise BadSamples for a file of samples that is not there, before anything is loaded."""
    if samples is not None:
        verification.check_there(Path(samples))


def samples_for(
    loaded: LoadedModel, samples: PathLike | None, seed: int
) -> list[verification.Samples]:
    """Return sets of generated samples, and the user's own where there are any.

    A model that does not take the generated ones, as its indices are computed in a way that nobody
    can follow, is proven on the user's alone.
    """
    ports = loaded.original.inputs
    own = None if samples is None else verification.load_samples(Path(samples), ports)
    ranges = ranges_of(loaded.simplified)
    sets = verification.generate_samples(ports, seed, like=own, ranges=ranges)
    if own is None:
        return sets
    return [*sets, own] if verification.computes(loaded.single, sets) else [own]


def verify_own(
    references: Sequence[verification.Reference],
    content: bytes | Path,
    name: str,
    signature: str = DEFAULT_SIGNATURE,
) -> ArtifactVerification:
    """Run a file that foldbn just made and judge its outputs.

    Raises:
        VerificationFailed: its ports have other shapes, which no other model is to blame for.
    """
    try:
        return verification.verify_artifact(references, content, name, signature)
    except VerificationFailed as error:
        raise VerificationFailed(error.message, _BUG) from error


def require_equal(
    verdict: ArtifactVerification, name: str, precision: str, greatest: Callable[[], float]
) -> None:
    """Raise VerificationFailed unless a file passed.

    Args:
        verdict: of the file.
        name: of the file.
        precision: what the model computes in that it was made of.
        greatest: finds the greatest number among the outputs and weights of that model.
    """
    if verdict.passed:
        return
    if verdict.error is None and (found := greatest()) > _NEAR_OVERFLOW:
        raise VerificationFailed(
            f"{name}: {verdict.worst_output!r} overflows: the model has numbers as large as"
            f" {found:.1e}, and float32 ends at {_END:.1e}",
            "nothing was written: look for a layer with a great gamma, or a tiny variance, and"
            " retrain or repair it",
        )
    if "float64" in precision:
        hint = (
            "nothing was written: the model computes in float64, and float32 may be too coarse"
            " for its numbers; subtract great offsets from the inputs before they are given to it"
        )
    else:
        hint = _BUG
    part = "" if verdict.channel is None else f"channel {verdict.channel} of "
    raise VerificationFailed(
        f"{name}: outputs differ: {part}{verdict.worst_output!r} by {told(verdict.error)},"
        f" rounding allows {told(verdict.tolerance)}",
        hint,
    )


def told(number: float | None) -> str:
    """Return a distance in words: None stands for one that is no number."""
    return "NaN or infinity" if number is None else f"{number:.1e}"


def require_folded(decisions: Sequence[Decision]) -> None:
    """Raise NotFolded if an affine layer is kept."""
    if kept := [d for d in decisions if d.outcome == "kept"]:
        raise NotFolded(
            f"{len(kept)} of {len(decisions)} affine layers stay, the first is"
            f" {kept[0].layer!r}: {kept[0].reason}",
            "foldbn inspect without --require-fold tells all of them",
        )


def require_speedup(
    rows: Sequence[BenchmarkRow], least: float | None, *, written: bool = True
) -> None:
    """Raise TooSlow if a speedup is below `least` with its whole interval.

    Args:
        rows: all that was measured; what misses the bar is told first.
        least: the bar, if there is one.
        written: whether the files that the rows name are there.
    """
    if least is None:
        return
    slow = [r for r in rows if r.verdict != "inconclusive" and r.speedup_ci95[1] < least]
    if slow:
        below = [f"{_measured(row, written=written)} is below {least:.3f}" for row in slow]
        others = [_measured(r, written=written) + _doubt(r) for r in rows if r not in slow]
        bar = "--min-speedup sets the bar"
        raise TooSlow("; ".join(below + others), bar if written else f"nothing was written: {bar}")


def _measured(row: BenchmarkRow, *, written: bool) -> str:
    """Return a row in words: nothing else tells of it where a bar is missed."""
    low, high = row.speedup_ci95
    copies = {None: "", False: " without copies", True: " with copies"}[row.copies]
    file = repr(row.folded) if written else "folded"
    return (
        f"{row.format} on {row.provider}{copies}: {file} at {row.folded_ms.p50:.4g} ms"
        f" against {row.original_ms.p50:.4g} ms, speedup {row.speedup:.3f}"
        f" ({low:.3f} to {high:.3f})"
    )


def _doubt(row: BenchmarkRow) -> str:
    return ", which is inconclusive" if row.verdict == "inconclusive" else ""
