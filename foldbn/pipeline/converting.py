"""`convert`: load, fold, verify, export, benchmark, and only then write."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from foldbn import benchmark, export, verification
from foldbn.errors import UsageError
from foldbn.export.staging import Staging, plan_targets
from foldbn.pipeline.steps import (
    Clock,
    Notify,
    PathLike,
    Proven,
    load_and_fold,
    prove,
    require_equal,
    require_folded,
    require_speedup,
    silent,
)
from foldbn.results import (
    Artifact,
    ArtifactVerification,
    BenchmarkRow,
    Change,
    Conversion,
    ConversionVerification,
    Summary,
)


def convert(  # noqa: PLR0913 - every option of the command
    model: PathLike,
    *,
    output_dir: PathLike | None = None,
    to: Sequence[export.Format] = ("onnx", "tflite"),
    overwrite: bool = False,
    batch_size: export.BatchSize = None,
    opset: int = export.DEFAULT_OPSET,
    signature: str | None = None,
    custom_objects: PathLike | None = None,
    samples: PathLike | None = None,
    seed: int = 0,
    bench: bool = True,
    providers: Sequence[str] = (),
    threads: int = 1,
    require_fold: bool = False,
    min_speedup: float | None = None,
    dry_run: bool = False,
    notify: Notify = silent,
) -> Conversion:
    """Fold a model, prove it, export it, and time it against its unfolded export.

    Files get their final names only after everything has passed.

    Args:
        model: an .h5 or .keras file or a SavedModel directory, recognised by content.
        output_dir: where the artefacts go; default beside the model.
        to: which formats to write.
        overwrite: replace existing artefacts; never the model.
        batch_size: leading axis of the artefacts; default dynamic for ONNX, 1 for TFLite.
        opset: of the ONNX file.
        signature: of a SavedModel; default ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        samples: an .npy or .npz file with inputs to verify on, besides the generated ones.
        seed: of the generated inputs.
        bench: time the original's export against the folded one's.
        providers: onnxruntime providers to time on; default CPU, and CUDA where it is there.
        threads: intra-op threads while timing.
        require_fold: raise if an affine layer would be kept.
        min_speedup: raise if a measured speedup is below it.
        dry_run: stop after the algebra is proven; write nothing.
        notify: called with ``("phase", name)`` as each phase begins.

    Raises:
        FoldbnError: of one kind or another; `errors` lists them with their exit codes.
    """
    source, clock = Path(model), Clock(notify)
    formats = tuple(dict.fromkeys(to))
    targets = plan_targets(
        source,
        None if output_dir is None else Path(output_dir),
        tuple(f".{kind}" for kind in formats),
        overwrite=overwrite,
    )
    if min_speedup is not None and not bench:
        raise UsageError("--min-speedup needs a benchmark: it does not go with --no-bench")
    if bench and "onnx" in formats:
        benchmark.resolve(providers)
    proven = _load_and_prove(
        source,
        clock,
        signature=signature,
        custom_objects=custom_objects,
        samples=samples,
        seed=seed,
        require_fold=require_fold,
    )
    report = Conversion(
        source=proven.source,
        summary=Summary.of(proven.decisions),
        decisions=proven.decisions,
        artifacts=(),
        verification=ConversionVerification(passed=True, algebra=proven.proof.algebra),
        timings_s=clock.seconds,
        dry_run=dry_run,
        would_write=tuple(map(str, targets)) if dry_run else (),
    )
    if dry_run:
        return report
    artifacts: list[Artifact] = []
    rows: list[BenchmarkRow] = []
    staged: dict[Path, Path] = {}
    with Staging(targets[0].parent) as staging:
        for made in (staging.folder, *staging.made):
            notify("made", str(made))
        for kind, target in zip(formats, targets, strict=True):
            with clock.phase("export"):
                plain = export.export(proven.plain, kind, batch_size, opset, sketch=not bench)
                before = export.statistics_of(plain)
                original = staging.write(f"original.{kind}", plain) if bench else None
                del plain
                content = export.export(proven.model, kind, batch_size, opset)
                if kind == "onnx":
                    content = export.sign(content, report.source.sha256, asdict(report.summary))
                candidate = staging.write(target.name, content)
            with clock.phase("verify"):
                verdict = verification.verify_artifact(
                    proven.proof.references, content, target.name
                )
            require_equal(verdict, target.name)
            staged[candidate] = target
            artifacts.append(_artifact(kind, target, before, content, verdict))
            if original is not None:
                with clock.phase("bench"):
                    rows += benchmark.bench_pair(
                        original,
                        candidate,
                        format=kind,
                        providers=providers,
                        threads=threads,
                        batch_size=batch_size if isinstance(batch_size, int) else None,
                        seed=seed,
                    )
        require_speedup(rows, min_speedup)
        staging.publish(staged)
    return replace(report, artifacts=tuple(artifacts), benchmark=tuple(rows))


def _load_and_prove(  # noqa: PLR0913 - the options of convert that concern it
    source: Path,
    clock: Clock,
    *,
    signature: str | None,
    custom_objects: PathLike | None,
    samples: PathLike | None,
    seed: int,
    require_fold: bool,
) -> Proven:
    """Return the folded model; what only the proof needed is let go."""
    folded = load_and_fold(source, signature, custom_objects, clock)
    if require_fold:
        require_folded(folded.decisions)
    with clock.phase("verify"):
        return prove(folded, samples, seed)


def _artifact(
    kind: str,
    target: Path,
    before: export.GraphStatistics,
    content: bytes,
    verdict: ArtifactVerification,
) -> Artifact:
    after = export.statistics_of(content)
    return Artifact(
        format=kind,
        path=str(target),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        nodes=Change(before.nodes, after.nodes),
        ops=after.ops,
        params=Change(before.params, after.params),
        size=Change(before.bytes, after.bytes),
        verification=verdict,
    )
