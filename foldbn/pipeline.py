"""The journey of a model, step by step: load, fold, verify, export, benchmark.

The steps live on the floors below; here they are only strung together.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from foldbn import benchmark, export, verification
from foldbn.errors import NotFolded, TooSlow, Unreadable, VerificationFailed
from foldbn.export.staging import Staging, plan_targets
from foldbn.folding import Folding, fold
from foldbn.frontends import loading, reader, writer
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.loading import LoadedModel
from foldbn.results import (
    Artifact,
    ArtifactVerification,
    Benchmark,
    BenchmarkRow,
    Change,
    Conversion,
    ConversionVerification,
    Inspection,
    Summary,
    Verification,
    VerifiedArtifact,
)

Notify = Callable[[str, str], None]
PathLike = str | Path


def _silent(_event: str, _detail: str) -> None:
    """Tell nobody."""


@dataclass
class _Clock:
    """Tells each phase as it begins, and how long each took, in seconds."""

    notify: Notify
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.notify("phase", name)
        start = time.perf_counter()
        yield
        spent = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.seconds[name] = round(spent, 3)


@dataclass(frozen=True)
class _Folded:
    """A loaded model, and the same folded."""

    loaded: LoadedModel
    folding: Folding
    model: FrozenModel


def _load(path: Path, signature: str | None, custom_objects: PathLike | None) -> LoadedModel:
    return loading.load(path, signature, None if custom_objects is None else Path(custom_objects))


def _load_and_fold(
    path: Path, signature: str | None, custom_objects: PathLike | None, clock: _Clock
) -> _Folded:
    with clock.phase("load"):
        loaded = _load(path, signature, custom_objects)
    with clock.phase("fold"):
        reading = reader.read(loaded.simplified, loaded.shapes)
        folding = fold(reading.graph)
        model = writer.write(loaded.simplified, reading, folding.graph)
    return _Folded(loaded, folding, model)


def _references(
    original: FrozenModel, samples: PathLike | None, seed: int
) -> list[verification.Reference]:
    """Evaluate the original on generated samples, and on the user's where there are any."""
    sets = [verification.generate_samples(original.inputs, seed)]
    if samples is not None:
        sets.append(verification.load_samples(Path(samples), original.inputs))
    return [verification.make_reference(original, each) for each in sets]


def _require_equal(verdict: ArtifactVerification, name: str) -> None:
    if not verdict.passed:
        raise VerificationFailed(
            f"{name}: outputs differ: {verdict.worst_output!r} by {told(verdict.error)},"
            f" rounding allows {told(verdict.tolerance)}",
            "nothing was written: this is a bug in foldbn or in the exporter, please report it",
        )


def told(number: float | None) -> str:
    """Return a distance in words: None stands for one that is no number."""
    return "NaN or infinity" if number is None else f"{number:.1e}"


def _require_fold(folding: Folding) -> None:
    if kept := [d for d in folding.decisions if d.outcome == "kept"]:
        raise NotFolded(
            f"{len(kept)} of {len(folding.decisions)} affine layers stay, the first is"
            f" {kept[0].layer!r}: {kept[0].reason}",
            "foldbn inspect tells all of them",
        )


def _require_speedup(rows: Sequence[BenchmarkRow], least: float | None) -> None:
    for row in rows:
        if least is not None and row.verdict != "inconclusive" and row.speedup < least:
            raise TooSlow(
                f"{row.format} on {row.provider}: speedup {row.speedup:.3f} is below {least:.3f}",
                "--min-speedup sets the bar",
            )


def inspect(
    model: PathLike,
    *,
    signature: str | None = None,
    custom_objects: PathLike | None = None,
    require_fold: bool = False,
    notify: Notify = _silent,
) -> Inspection:
    """Say what would be folded in a model and why not; write nothing.

    Args:
        model: an .h5 or .keras file or a SavedModel directory, recognised by content.
        signature: of a SavedModel; default ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        require_fold: raise if an affine layer would be kept.
        notify: called with ``("phase", name)`` as each phase begins.

    Raises:
        Unreadable: there is no model that foldbn knows.
        Unsupported: it is a model that foldbn cannot load.
        BadWeights: a weight is NaN or infinite.
        NotFolded: `require_fold` is not met.
    """
    folded = _load_and_fold(Path(model), signature, custom_objects, _Clock(notify))
    if require_fold:
        _require_fold(folded.folding)
    decisions = folded.folding.decisions
    return Inspection(folded.loaded.source, Summary.of(decisions), decisions)


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
    notify: Notify = _silent,
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
    source, clock = Path(model), _Clock(notify)
    formats = tuple(dict.fromkeys(to))
    targets = plan_targets(
        source,
        None if output_dir is None else Path(output_dir),
        tuple(f".{kind}" for kind in formats),
        overwrite=overwrite,
    )
    if bench and "onnx" in formats:
        benchmark.resolve(providers)
    folded = _load_and_fold(source, signature, custom_objects, clock)
    if require_fold:
        _require_fold(folded.folding)
    decisions = folded.folding.decisions
    with clock.phase("verify"):
        references = _references(folded.loaded.original, samples, seed)
        algebra = [verification.check_algebra(reference, folded.model) for reference in references]
    worst = max(algebra, key=lambda one: one.max_rel)
    report = Conversion(
        source=folded.loaded.source,
        summary=Summary.of(decisions),
        decisions=decisions,
        artifacts=(),
        verification=ConversionVerification(passed=True, algebra=worst),
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
        notify("staging", str(staging.folder))
        for kind, target in zip(formats, targets, strict=True):
            with clock.phase("export"):
                plain = export.export(folded.loaded.simplified, kind, batch_size, opset)
                content = export.export(folded.model, kind, batch_size, opset)
                if kind == "onnx":
                    content = export.sign(content, report.source.sha256, asdict(report.summary))
                original = staging.write(f"original.{kind}", plain)
                candidate = staging.write(target.name, content)
            with clock.phase("verify"):
                verdict = verification.verify_artifact(references, content, target.name)
            _require_equal(verdict, target.name)
            staged[candidate] = target
            artifacts.append(_artifact(kind, target, plain, content, verdict))
            if bench:
                with clock.phase("bench"):
                    rows += benchmark.bench_pair(
                        original,
                        candidate,
                        format=kind,
                        providers=providers,
                        threads=threads,
                        batch_size=batch_size if isinstance(batch_size, int) else 1,
                        seed=seed,
                    )
        _require_speedup(rows, min_speedup)
        staging.publish(staged)
    return replace(report, artifacts=tuple(artifacts), benchmark=tuple(rows))


def _artifact(
    kind: str, target: Path, plain: bytes, content: bytes, verdict: ArtifactVerification
) -> Artifact:
    before, after = export.statistics_of(plain), export.statistics_of(content)
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


def verify(  # noqa: PLR0913 - every option of the command
    original: PathLike,
    exported: Sequence[PathLike],
    *,
    signature: str | None = None,
    custom_objects: PathLike | None = None,
    samples: PathLike | None = None,
    seed: int = 0,
    notify: Notify = _silent,
) -> Verification:
    """Say whether exported files, by whatever tool, still compute the original model.

    Args:
        original: an .h5 or .keras file or a SavedModel directory, recognised by content.
        exported: .onnx and .tflite files.
        signature: of a SavedModel; default ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        samples: an .npy or .npz file with inputs to verify on, besides the generated ones.
        seed: of the generated inputs.
        notify: called with ``("phase", name)`` as each phase begins.

    Returns:
        A verdict for each file; `passed` is whether all of them passed.

    Raises:
        Unreadable: a file is missing or damaged.
        RuntimeFailed: an exported file cannot be run, or its ports do not fit.
    """
    contents = [(Path(path), _read(Path(path))) for path in exported]
    clock = _Clock(notify)
    with clock.phase("load"):
        loaded = _load(Path(original), signature, custom_objects)
    with clock.phase("verify"):
        references = _references(loaded.original, samples, seed)
        artifacts = tuple(
            VerifiedArtifact(
                str(path),
                export.format_of(content),
                verification.verify_artifact(references, content, path.name),
            )
            for path, content in contents
        )
    passed = all(artifact.verification.passed for artifact in artifacts)
    return Verification(loaded.source, passed, artifacts)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise Unreadable(f"{str(path)!r} is no file", "give .onnx or .tflite files to verify")
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot read {str(path)!r}: {error.strerror}") from error


def bench(  # noqa: PLR0913 - every option of the command
    models: Sequence[PathLike],
    *,
    providers: Sequence[str] = (),
    threads: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    min_speedup: float | None = None,
    notify: Notify = _silent,
) -> Benchmark:
    """Time .onnx and .tflite files side by side; the first is the reference.

    Args:
        models: the files; a lone one is timed against itself.
        providers: onnxruntime providers; default CPU, and CUDA where it is there.
        threads: intra-op threads.
        batch_size: samples per call; default the models' own, or 1.
        seed: of the generated inputs.
        min_speedup: raise if a measured speedup is below it.
        notify: called with ``("phase", name)`` as each phase begins.

    Raises:
        Unreadable: a file is missing or neither ONNX nor TFLite.
        ProviderMissing: a provider is not there.
        TooSlow: `min_speedup` is not met.
    """
    with _Clock(notify).phase("bench"):
        rows = benchmark.bench_files(
            [Path(model) for model in models],
            providers=providers,
            threads=threads,
            batch_size=batch_size,
            seed=seed,
        )
    _require_speedup(rows, min_speedup)
    return Benchmark(rows)
