"""What foldbn's functions return: plain records whose fields are the keys of the JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foldbn.latencies import BenchmarkRow

Direction = Literal["backward", "forward"]
Outcome = Literal["folded", "merged", "lowered", "kept"]


@dataclass(frozen=True)
class Decision:
    """What became of one affine layer.

    Attributes:
        layer: the layer's own name in the model.
        kind: its class, or ``Affine`` for constant arithmetic.
        outcome: folded, merged into another affine layer, lowered to one cheap op, or kept.
        direction: which way its map travelled, None where it did not.
        into: the layers whose weights took the map.
        across: the layers the map crossed on its way.
        reason: a sentence wherever the outcome is not ``folded``.
    """

    layer: str
    kind: str
    outcome: Outcome
    direction: Direction | None = None
    into: tuple[str, ...] = ()
    across: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Source:
    """The model that was read.

    Attributes:
        path: as the user gave it.
        format: ``keras-h5``, ``keras-zip``, ``savedmodel``, ``frozen-graph``, ``onnx``, ``tflite``.
        sha256: of the file, or of a SavedModel's files in the order of their names.
        writer: the framework and version that wrote it, as far as the file says.
        precision: what it computes in: ``float32``, ``float64``, ``float16``, ``bfloat16``;
            ``mixed_float16`` where float32 weights are cast; ``float32 with float64`` where
            a part of it does. Whatever it is, it is exported in float32.
    """

    path: str
    format: str
    sha256: str
    writer: str | None = None
    precision: str = "float32"


@dataclass(frozen=True)
class Summary:
    """How many affine layers there were, and what became of them."""

    affine_layers: int
    folded: int
    merged: int
    lowered: int
    kept: int

    @classmethod
    def of(cls, decisions: tuple[Decision, ...]) -> Summary:
        """Count the outcomes of `decisions`."""
        outcomes = [decision.outcome for decision in decisions]
        return cls(
            affine_layers=len(outcomes),
            folded=outcomes.count("folded"),
            merged=outcomes.count("merged"),
            lowered=outcomes.count("lowered"),
            kept=outcomes.count("kept"),
        )


@dataclass(frozen=True)
class Change:
    """A number of the plain export, and the same of foldbn's."""

    before: int | None
    after: int


@dataclass(frozen=True)
class ArtifactVerification:
    """How far an artefact, run in its own runtime, is from the float64 reference.

    Distances are None where an output is not finite, which never passes.

    Attributes:
        passed: whether every output is within what rounding allows.
        max_abs: largest absolute difference, in the output's own unit.
        max_rel: largest absolute difference over the output's largest magnitude.
        mean_abs: mean absolute difference, of the output with the largest.
        snr_db: signal-to-noise ratio in dB; None when there is no difference.
        cosine: cosine similarity of all outputs, flattened.
        argmax_agreement: fraction of samples whose largest output has the same index.
        ulp_p99: 99th percentile of the difference in units in the last place of float32.
        reference: the precision of the reference.
        error: how far the artefact is off, root mean square of the worst output; where another
            way to look at it fails, of one channel, or its largest difference.
        original_error: the same for the original model in its own precision; None where it
            overflows.
        tolerance: the largest `error` that passes.
        channel: of the last axis, that `error` and `tolerance` are of; None for a whole output.
        samples: how many samples were compared.
        worst_output: name of the output that is furthest off.
        worst_index: index of the worst element in it.
        constant: outputs that the original gives every sample alike, of which little is proven.
    """

    passed: bool
    max_abs: float | None
    max_rel: float | None
    mean_abs: float | None
    snr_db: float | None
    cosine: float | None
    argmax_agreement: float
    ulp_p99: float | None
    reference: str
    error: float | None
    original_error: float | None
    tolerance: float | None
    channel: int | None
    samples: int
    worst_output: str
    worst_index: tuple[int, ...]
    constant: tuple[str, ...] = ()

    @classmethod
    def of_nothing(cls) -> ArtifactVerification:
        """Return the verdict on a file that cannot be compared: not passed, without figures."""
        return cls(
            passed=False,
            max_abs=None,
            max_rel=None,
            mean_abs=None,
            snr_db=None,
            cosine=None,
            argmax_agreement=0.0,
            ulp_p99=None,
            reference="float64",
            error=None,
            original_error=None,
            tolerance=None,
            channel=None,
            samples=0,
            worst_output="",
            worst_index=(),
        )


@dataclass(frozen=True)
class Artifact:
    """One written file, or a SavedModel directory.

    Attributes:
        format: ``onnx``, ``tflite`` or ``savedmodel``.
        path: where it was written.
        bytes: its size in bytes; of a directory, of all its files.
        sha256: of its content; of a directory, of its files in the order of their names.
        nodes: graph nodes of the plain export and of this file.
        ops: how many nodes of each op type this file has.
        params: numbers stored as weights, in the plain export and in this file.
        size: bytes of the plain export and of this file; there is no plain SavedModel.
        verification: the rounding check; of a SavedModel, of its worst signature.
        signatures: those of a SavedModel, the one that was chosen first.
        left_out: signatures of the original that are not in it, each with the reason.
        precision: what it computes in.
    """

    format: str
    path: str
    bytes: int
    sha256: str
    nodes: Change
    ops: dict[str, int]
    params: Change
    size: Change
    verification: ArtifactVerification
    signatures: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    precision: str = "float32"


@dataclass(frozen=True)
class Algebra:
    """Original and folded graph, both evaluated in float64.

    Attributes:
        checked: whether the comparison was made.
        max_rel: largest absolute difference over the output's largest magnitude.
        samples: how many samples were compared.
    """

    checked: bool
    max_rel: float
    samples: int = 0


@dataclass(frozen=True)
class ConversionVerification:
    """Both halves of the proof in one verdict."""

    passed: bool
    algebra: Algebra


@dataclass(frozen=True)
class Conversion:
    """What `foldbn.convert` did.

    Attributes:
        source: the model that was read.
        summary: how many affine layers there were, and what became of them.
        decisions: the same, one by one.
        artifacts: what was written.
        verification: how the folded model compares with the original in float64.
        benchmark: latencies, where they were asked for.
        timings_s: seconds spent in each phase.
        dry_run: whether nothing was to be written.
        would_write: what would have been, then.
        reordered: layers whose convolution has moved past an average pooling or a resizing, to
            work on fewer positions.
    """

    source: Source
    summary: Summary
    decisions: tuple[Decision, ...]
    artifacts: tuple[Artifact, ...]
    verification: ConversionVerification
    benchmark: tuple[BenchmarkRow, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    dry_run: bool = False
    would_write: tuple[str, ...] = ()
    reordered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What `foldbn.inspect` found; its fields are those of `Conversion`."""

    source: Source
    summary: Summary
    decisions: tuple[Decision, ...]
    reordered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why there is no comparison: the fields of an error."""

    id: str
    exit_code: int
    message: str
    hint: str


@dataclass(frozen=True)
class VerifiedArtifact:
    """One exported file held against the original.

    Attributes:
        path: as the user gave it.
        format: ``onnx``, ``tflite`` or ``savedmodel``.
        verification: of no samples, and not passed, where there was nothing to compare.
        error: why there was not: its inputs or outputs have other shapes, or it is broken.
    """

    path: str
    format: str
    verification: ArtifactVerification
    error: Failure | None = None


@dataclass(frozen=True)
class Verification:
    """What `foldbn.verify` found."""

    source: Source
    passed: bool
    artifacts: tuple[VerifiedArtifact, ...]
