"""The second half of the proof: each file, in its own runtime, rounds as well as the original.

Distances are from the float64 reference. The original float32 model itself is some way off
it, and so is the float64 model when its inputs are two float32 units off, and its long sums by
what float32 may make of them (`long_sums`), which tells how much the model amplifies any rounding.
A file may be `FACTOR` times as far as the greater of
the two, plus a few units of float32 rounding that grow with the square root of the depth
(errors of layers add up like a random walk). A fixed tolerance would be the wrong verdict:
where a mean is a million deviations, the original is the worse model of the two.

Of an original in float16 or bfloat16 the yardstick depends on who wrote the file. foldbn
writes float32, and is held to what float32 allows. A file of another tool may compute in the
original's own precision: it may be as far off as this, in units of this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import RuntimeFailed, Unsupported, VerificationFailed
from foldbn.frontends.frozen import DEFAULT_SIGNATURE
from foldbn.results import ArtifactVerification
from foldbn.verification.batches import Outputs
from foldbn.verification.metrics import (
    Distance,
    argmax_agreement,
    cosine,
    distance,
    snr_db,
    ulp_p99,
)
from foldbn.verification.reference import Reference, steadied
from foldbn.verification.runtimes import Artifact, load_artifact

FACTOR = 8.0
_OTHER = "it was made of another model, or of another version of this one"
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class _Verdict:
    """An output held against the reference: all of it, its worst number or its worst channel.

    Attributes:
        name: of the output.
        error: how far off the file is.
        allowed: how far it may be.
        own: how far off the original is.
        place: index of the worst number.
        channel: that it is about, or None for all of them.
    """

    name: str
    error: float
    allowed: float
    own: float
    place: tuple[int, ...]
    channel: int | None = None

    @property
    def excess(self) -> float:
        """How much of its allowance it uses; more than 1 fails."""
        return self.error / self.allowed if math.isfinite(self.error) else math.inf


def verify_artifact(
    references: Sequence[Reference],
    content: bytes | Path,
    name: str,
    signature: str = DEFAULT_SIGNATURE,
) -> ArtifactVerification:
    """Run an exported file on each reference's samples and judge its outputs.

    Args:
        references: of the original model, at least one.
        content: of the .onnx or .tflite file; the path of a SavedModel directory.
        name: of the file, for messages.
        signature: the original's, which is looked for in a SavedModel.

    Returns:
        The worst verdict, with the number of all samples and the outputs that none changes.

    Raises:
        Unreadable: the file is neither ONNX nor TFLite.
        Unsafe: it is a SavedModel that would touch the machine.
        RuntimeFailed: its runtime cannot load or run it, or its ports do not fit the model.
        VerificationFailed: its inputs or outputs have other shapes than the model's, or it has
            more or fewer of them.
    """
    artifact = load_artifact(content, name, signature)
    verdicts = [_judge(each, _run(artifact, each, name)) for each in references]
    return replace(worst_of(verdicts), constant=_constant(references))


def _constant(references: Sequence[Reference]) -> tuple[str, ...]:
    """Return the outputs that are the same for every sample, where there are several."""
    many = sum(len(next(iter(each.samples.values()))) for each in references) > 1

    def same(name: str) -> bool:
        results = [each.exact[name] for each in references]
        first = results[0][:1]
        return all(each[:1].shape == first.shape and (each == first).all() for each in results)

    return tuple(name for name in references[0].exact if many and same(name))


def worst_of(verdicts: Sequence[ArtifactVerification]) -> ArtifactVerification:
    """Return the worst verdict, with the number of all samples and all that none changes."""
    worst = min(verdicts, key=_rank)
    constant = dict.fromkeys(name for verdict in verdicts for name in verdict.constant)
    samples = sum(verdict.samples for verdict in verdicts)
    return replace(worst, samples=samples, constant=tuple(constant))


def _rank(verdict: ArtifactVerification) -> tuple[bool, float]:
    """Return what sorts verdicts, the worst first; one without a figure is no number at all."""
    if verdict.error is None or verdict.tolerance is None:
        return verdict.passed, -math.inf
    return verdict.passed, -verdict.error / verdict.tolerance


def _run(artifact: Artifact, reference: Reference, name: str) -> Outputs:
    """Return the artifact's outputs under the model's names."""
    named = _match(list(reference.samples), artifact.inputs, "input", name)
    back = _match(list(reference.exact), artifact.outputs, "output", name)
    try:
        outputs = artifact.run({named[key]: value for key, value in reference.samples.items()})
    except (RuntimeFailed, Unsupported) as error:
        for key, value in reference.samples.items():
            declared = artifact.shapes.get(named[key])
            if declared is not None and not _fits(value.shape[1:], declared[1:]):
                raise VerificationFailed(
                    f"{name!r} takes {key!r} in the shape {_told(declared)}, the original"
                    f" {_told((None, *value.shape[1:]))}",
                    _OTHER,
                ) from error
        if isinstance(error, Unsupported):  # it runs, and gives something else than samples
            raise VerificationFailed(f"{name!r}: {error.message}", _OTHER) from error
        raise
    found = {key: outputs[back[key]] for key in reference.exact}
    for key, exact in reference.exact.items():
        if found[key].shape != exact.shape:
            there, wanted = ((None, *each.shape[1:]) for each in (found[key], exact))
            raise VerificationFailed(
                f"{name!r} gives {key!r} the shape {_told(there)}, the original {_told(wanted)}",
                _OTHER,
            )
    return found


def _fits(shape: tuple[int, ...], declared: Sequence[int | None]) -> bool:
    """Whether the shape of a sample is one that a file declares, as far as it does."""
    return len(shape) == len(declared) and all(
        length in (None, own) for own, length in zip(shape, declared, strict=True)
    )


def _told(shape: Sequence[int | None]) -> str:
    """Return a shape in words; the first length is the batch, of any size here."""
    inner = ["any" if length is None else str(length) for length in shape[1:]]
    return f"({', '.join(['batch', *inner])})"


def _match(wanted: list[str], there: list[str], what: str, file: str) -> dict[str, str]:
    """Pair the model's ports with the file's: by name, and what has another name in order.

    Raises:
        VerificationFailed: their numbers differ.
        RuntimeFailed: several inputs have other names: a guess could blame a right file.
    """
    if len(wanted) != len(there):
        raise VerificationFailed(
            f"{file!r} has {len(there)} {what}s ({', '.join(there)}),"
            f" the original has {len(wanted)} ({', '.join(wanted)})"
        )
    left = [name for name in wanted if name not in there]
    others = [name for name in there if name not in wanted]
    if what == "input" and len(left) > 1:
        raise RuntimeFailed(
            f"cannot tell which input of {file!r} is which: it calls them {', '.join(others)},"
            f" the original {', '.join(left)}",
            "export it with the original's input names",
        )
    return {name: name for name in wanted if name in there} | dict(zip(left, others, strict=True))


def _as_a_whole(
    reference: Reference, name: str, gap: Distance, units: float
) -> tuple[_Verdict, _Verdict]:
    """Judge the root mean square of an output's differences, and the largest of them."""
    exact = reference.exact[name]
    yardstick = distance(exact, reference.single[name])
    jitter = distance(exact, exact + reference.jitter[name])
    own = distance(exact, reference.own[name])
    rms = max(yardstick.rms, jitter.rms)
    largest = max(yardstick.max_abs, jitter.max_abs)
    bounded = name in reference.bounded
    scale_rms, scale_max = (1.0, 1.0) if bounded else (gap.scale_rms, gap.scale_max)
    allowed = FACTOR * rms + units * scale_rms + _TINY
    allowed_max = FACTOR * (largest + units * scale_max) + _TINY
    return (
        _Verdict(name, gap.rms, allowed, own.rms, gap.worst_index),
        _Verdict(name, gap.max_abs, allowed_max, own.max_abs, gap.worst_index),
    )


def _worst_channel(reference: Reference, name: str, found: NDArray[Any], units: float) -> _Verdict:
    """Judge the channel of the last axis that uses most of its allowance.

    Each channel has its own scale, so that a great one does not hide a small one. A channel
    has few numbers, so it may be four times as far off as a whole output. A probability p is
    off by as much of itself as its logit is off in all, and that is at least ``|log p|`` in size.
    """
    truth = reference.exact[name].astype(np.float64)

    def by_channel(array: NDArray[Any]) -> NDArray[Any]:
        return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)

    def rms(array: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.sqrt(np.square(by_channel(array)).mean(axis=0)))

    original = rms(truth - reference.own[name])
    own = np.maximum(rms(truth - reference.single[name]), rms(reference.jitter[name]))
    weight = np.ones(())
    if name in reference.probabilities:
        weight = np.maximum(1, -np.log(np.maximum(truth, _TINY)))
    scale = np.ones(()) if name in reference.bounded else rms(weight * truth)
    allowed = 4 * FACTOR * (own + units * scale) + _TINY
    error = rms(truth - found)
    channel = int((error / allowed).argmax())
    off = by_channel(np.abs(truth - found))
    flat = int(off[:, channel].argmax()) * off.shape[1] + channel
    place = tuple(int(index) for index in np.unravel_index(flat, truth.shape))
    off_by, may_be, own_by = (float(each[channel]) for each in (error, allowed, original))
    return _Verdict(name, off_by, may_be, own_by, place, channel)


def _judge(reference: Reference, found: Outputs) -> ArtifactVerification:
    units = reference.unit * math.sqrt(reference.depth)
    gaps = {name: distance(exact, found[name]) for name, exact in reference.exact.items()}
    finite = all(math.isfinite(gap.max_abs) for gap in gaps.values())
    squares, others = [], []
    for name, gap in gaps.items():
        square, largest = _as_a_whole(reference, name, gap, units)
        squares.append(square)
        others.append(largest)
        if math.isfinite(gap.max_abs):
            others.append(_worst_channel(reference, name, found[name], units))
    failed = [verdict for verdict in (*squares, *others) if verdict.excess > 1]
    # Of thousands of channels, with few numbers each, the original's luck makes some too strict.
    lucky = failed and all(verdict.channel is not None for verdict in failed)
    if lucky and reference.original is not None:
        return _judge(steadied(reference), found)
    # Of what is well the root mean square of a whole output is told: it can be compared.
    worst = max(failed or squares, key=lambda verdict: verdict.excess)
    return ArtifactVerification(
        passed=finite and not failed,
        max_abs=max(gap.max_abs for gap in gaps.values()) if finite else None,
        max_rel=max(gap.max_rel for gap in gaps.values()) if finite else None,
        mean_abs=max(gap.mean_abs for gap in gaps.values()) if finite else None,
        snr_db=snr_db(reference.exact, found) if finite else None,
        cosine=cosine(reference.exact, found) if finite else None,
        argmax_agreement=argmax_agreement(reference.exact, found),
        ulp_p99=ulp_p99(reference.exact, found) if finite else None,
        reference="float64",
        error=worst.error if finite else None,
        original_error=worst.own if math.isfinite(worst.own) else None,
        tolerance=worst.allowed,
        channel=worst.channel,
        samples=len(next(iter(reference.samples.values()))),
        worst_output=worst.name,
        worst_index=worst.place,
    )
