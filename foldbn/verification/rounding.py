"""The second half of the proof: each file, in its own runtime, rounds as well as the original.

The yardstick is the float64 reference. The original float32 model itself is some way off
it; a file may be `FACTOR` times as far, plus a few units of float32 rounding that grow with
the square root of the depth (errors of layers add up like a random walk). A fixed tolerance
would be the wrong verdict: where a mean is a million deviations, the original is the worse
model of the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import RuntimeFailed
from foldbn.results import ArtifactVerification
from foldbn.verification.algebra import Reference
from foldbn.verification.batches import Outputs
from foldbn.verification.metrics import (
    Distance,
    argmax_agreement,
    cosine,
    distance,
    snr_db,
    ulp_p99,
)
from foldbn.verification.runtimes import Artifact, load_artifact

FACTOR = 4.0
_ULP = float(np.finfo(np.float32).eps)
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class _Judged:
    """One output: how far it is, how far the original is, and the least that is allowed."""

    name: str
    gap: Distance
    original: Distance
    units: float
    by_channel: float

    @property
    def allowed_rms(self) -> float:
        """The root mean square that rounding allows."""
        return FACTOR * self.original.rms + self.units * self.gap.scale_rms + _TINY

    @property
    def excess(self) -> float:
        """How much of its allowance it uses; more than 1 fails."""
        largest = FACTOR * (self.original.max_abs + self.units * self.gap.scale_max) + _TINY
        return max(self.gap.rms / self.allowed_rms, self.gap.max_abs / largest, self.by_channel)


def verify_artifact(
    references: Sequence[Reference], content: bytes, name: str
) -> ArtifactVerification:
    """Run an exported file on each reference's samples and judge its outputs.

    Args:
        references: of the original model, at least one.
        content: of the .onnx or .tflite file.
        name: of the file, for messages.

    Returns:
        The worst verdict, with the number of all samples.

    Raises:
        Unreadable: the file is neither ONNX nor TFLite.
        RuntimeFailed: its runtime cannot load or run it, or its ports do not fit the model.
    """
    artifact = load_artifact(content, name)
    verdicts = [_judge(each, _run(artifact, each, name)) for each in references]
    worst = min(verdicts, key=lambda verdict: (verdict.passed, -(verdict.error or math.inf)))
    return replace(worst, samples=sum(verdict.samples for verdict in verdicts))


def _run(artifact: Artifact, reference: Reference, name: str) -> Outputs:
    """Return the artifact's outputs under the model's names."""
    named = _match(list(reference.samples), artifact.inputs, "input", name)
    back = _match(list(reference.exact), artifact.outputs, "output", name)
    outputs = artifact.run({named[key]: value for key, value in reference.samples.items()})
    found = {key: outputs[back[key]] for key in reference.exact}
    for key, exact in reference.exact.items():
        if found[key].shape != exact.shape:
            raise RuntimeFailed(
                f"{name!r} gives {key!r} the shape {found[key].shape}, the original {exact.shape}"
            )
    return found


def _match(wanted: list[str], there: list[str], what: str, file: str) -> dict[str, str]:
    """Pair the model's ports with the file's: by name, and what has another name in order.

    Raises:
        RuntimeFailed: their numbers differ, or several inputs have other names: a guess
            could blame a right file.
    """
    if len(wanted) != len(there):
        raise RuntimeFailed(
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


def _worst_channel(
    exact: NDArray[Any], single: NDArray[Any], found: NDArray[Any], units: float
) -> float:
    """Return how much of its allowance the worst channel of the last axis uses.

    Each channel has its own scale, so that a great one does not hide a small one. A channel
    has few numbers, so it may be eight times as far off as a whole output.
    """

    def rms(array: NDArray[Any]) -> NDArray[Any]:
        wide = array.astype(np.float64).reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
        return np.asarray(np.sqrt(np.square(wide).mean(axis=0)))

    truth = exact.astype(np.float64)
    allowed = 8 * FACTOR * (rms(truth - single) + units * rms(truth)) + _TINY
    return float((rms(truth - found) / allowed).max())


def _judge(reference: Reference, found: Outputs) -> ArtifactVerification:
    units = _ULP * math.sqrt(reference.depth)
    judged = []
    for name, exact in reference.exact.items():
        single, gap = reference.single[name], distance(exact, found[name])
        finite = math.isfinite(gap.max_abs)
        by_channel = _worst_channel(exact, single, found[name], units) if finite else math.inf
        judged.append(_Judged(name, gap, distance(exact, single), units, by_channel))
    worst = max(judged, key=lambda one: one.excess)
    finite = all(math.isfinite(one.gap.max_abs) for one in judged)
    return ArtifactVerification(
        passed=finite and worst.excess <= 1,
        max_abs=max(one.gap.max_abs for one in judged) if finite else None,
        max_rel=max(one.gap.max_rel for one in judged) if finite else None,
        mean_abs=max(one.gap.mean_abs for one in judged) if finite else None,
        snr_db=snr_db(reference.exact, found) if finite else None,
        cosine=cosine(reference.exact, found) if finite else None,
        argmax_agreement=argmax_agreement(reference.exact, found),
        ulp_p99=ulp_p99(reference.exact, found) if finite else None,
        reference="float64",
        error=worst.gap.rms if finite else None,
        original_error=worst.original.rms,
        tolerance=worst.allowed_rms,
        samples=len(next(iter(reference.samples.values()))),
        worst_output=worst.name,
        worst_index=worst.gap.worst_index,
    )
