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

import numpy as np

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


@dataclass(frozen=True)
class _Judged:
    """One output: how far it is, how far it may be, and the original's own distance."""

    name: str
    gap: Distance
    original: Distance
    allowed_rms: float
    allowed_max: float

    @property
    def excess(self) -> float:
        """How much of its allowance it uses; more than 1 fails."""
        return max(self.gap.rms / self.allowed_rms, self.gap.max_abs / self.allowed_max)


def verify_artifact(
    references: Sequence[Reference], content: bytes, name: str
) -> ArtifactVerification:
    """Run an exported file on each reference's samples and judge its outputs.

    Args:
        references: of the original model, at least one.
        content: of the .onnx or .tflite file.
        name: of the file, for messages.

    Returns:
        The first verdict that fails, otherwise the last, with the number of all samples.

    Raises:
        Unreadable: the file is neither ONNX nor TFLite.
        RuntimeFailed: its runtime cannot load or run it, or its ports do not fit the model.
    """
    artifact = load_artifact(content, name)
    verdicts = [_judge(each, _run(artifact, each, name)) for each in references]
    worst = next((verdict for verdict in verdicts if not verdict.passed), verdicts[-1])
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
    """Pair the model's ports with the file's: by name, otherwise in order."""
    if len(wanted) != len(there):
        raise RuntimeFailed(
            f"{file!r} has {len(there)} {what}s ({', '.join(there)}),"
            f" the original has {len(wanted)} ({', '.join(wanted)})"
        )
    if set(wanted) == set(there):
        return {name: name for name in wanted}
    return dict(zip(wanted, there, strict=True))


def _judge(reference: Reference, found: Outputs) -> ArtifactVerification:
    units = _ULP * math.sqrt(reference.depth)
    judged = []
    for name, exact in reference.exact.items():
        original = distance(exact, reference.single[name])
        gap = distance(exact, found[name])
        smallest = float(np.finfo(np.float32).tiny)
        judged.append(
            _Judged(
                name,
                gap,
                original,
                allowed_rms=FACTOR * original.rms + units * gap.scale_rms + smallest,
                allowed_max=FACTOR * original.max_abs + FACTOR * units * gap.scale_max + smallest,
            )
        )
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
        original_error=worst.original.rms if math.isfinite(worst.original.rms) else None,
        tolerance=worst.allowed_rms if math.isfinite(worst.allowed_rms) else None,
        samples=len(next(iter(reference.samples.values()))),
        worst_output=worst.name,
        worst_index=worst.gap.worst_index,
    )
