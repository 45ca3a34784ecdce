"""`convert`: load, fold, verify, export, benchmark, and only then write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foldbn import benchmark, export
from foldbn.bounds import as_batch_size, as_min_speedup, as_opset, as_seed, as_threads
from foldbn.errors import UsageError
from foldbn.export.staging import Staging, missing_folders, plan_targets, recover
from foldbn.frontends.sniff import check_name
from foldbn.latencies import BenchmarkRow
from foldbn.pipeline.proving import load_and_prove, prove_others
from foldbn.pipeline.steps import (
    Choices,
    Clock,
    Notify,
    PathLike,
    check_samples,
    require_speedup,
    silent,
)
from foldbn.pipeline.timing import time_own
from foldbn.pipeline.writing import write_directory, write_file
from foldbn.results import Artifact, Conversion, ConversionVerification, Summary


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
    unsafe: bool = False,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
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
        model: an .h5 or .keras file, a SavedModel directory or a frozen graph (.pb), recognised by
            content.
        output_dir: where the artefacts go; default beside the model.
        to: which formats to write. A SavedModel is a directory of all the signatures that
            foldbn can fold; it is verified and not timed.
        overwrite: replace existing artefacts; never the model.
        batch_size: leading axis of the artefacts; default 1 for TFLite, otherwise dynamic.
        opset: of the ONNX file.
        signature: of a SavedModel; default ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        unsafe: run the Python code that Lambda layers of a Keras file hold.
        inputs: of a frozen graph, the names of the tensors that are fed.
        outputs: of a frozen graph, the names of the tensors that are wanted.
        samples: an .npy or .npz file with inputs to verify on, besides the generated ones.
        seed: of the generated inputs.
        bench: time the original's export against the folded one's.
        providers: onnxruntime providers to time on; default CPU, and CUDA where it is there.
        threads: intra-op threads while timing.
        require_fold: raise if an affine layer would be kept.
        min_speedup: raise if a measured speedup is below it.
        dry_run: stop after the algebra is proven; write nothing.
        notify: called with ``("phase", name)`` as each phase begins, ``("made", folder)`` for
            each output folder that is going to be made, ``("staging", folder)`` before anything
            is written there, and ``("published", "")`` once all files have their names.

    Raises:
        FoldbnError: of one kind or another; `errors` lists them with their exit codes.
    """
    seed, threads, opset = as_seed(seed), as_threads(threads), as_opset(opset)
    batch_size = batch_size if batch_size == "dynamic" else as_batch_size(batch_size)
    min_speedup = as_min_speedup(min_speedup)
    source, clock = Path(model), Clock(notify)
    formats = tuple(dict.fromkeys(to))
    folder = None if output_dir is None else Path(output_dir)
    check_name(source)
    if not dry_run:
        recover(source, folder)
    targets = plan_targets(
        source,
        folder,
        tuple(f".{kind}" for kind in formats),
        overwrite=overwrite,
    )
    check_samples(samples)
    if min_speedup is not None and not bench:
        raise UsageError("--min-speedup needs a benchmark: it does not go with --no-bench")
    if min_speedup is not None and formats == ("savedmodel",):
        raise UsageError("--min-speedup needs a benchmark, and a SavedModel is not timed")
    if bench and "onnx" in formats:
        benchmark.resolve(providers)
    proven = load_and_prove(
        source,
        clock,
        Choices(signature, custom_objects, unsafe, inputs, outputs),
        samples=samples,
        seed=seed,
        require_fold=require_fold,
    )
    others, left_out = (
        prove_others(source, proven, seed, clock, require_fold=require_fold)
        if "savedmodel" in formats
        else ([], {})
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
        reordered=proven.reordered,
    )
    if dry_run:
        return report
    artifacts: list[Artifact] = []
    rows: list[BenchmarkRow] = []
    staged: dict[Path, Path] = {}
    folder = targets[0].parent
    for made in missing_folders(folder):
        notify("made", str(made))
    notify("staging", str(folder))
    with Staging(folder) as staging:
        for kind, target in zip(formats, targets, strict=True):
            plain = None
            if kind == "savedmodel":
                artifact, candidate = write_directory(
                    staging, target, [proven, *others], left_out, clock, batch_size=batch_size
                )
            else:
                artifact, candidate, plain = write_file(
                    staging,
                    target,
                    kind,
                    proven,
                    clock,
                    batch_size=batch_size,
                    opset=opset,
                    bench=bench,
                )
            staged[candidate] = target
            artifacts.append(artifact)
            if plain is not None and kind != "savedmodel":
                with clock.phase("bench"):
                    timed = time_own(
                        plain,
                        candidate,
                        proven,
                        format=kind,
                        providers=providers,
                        threads=threads,
                        batch_size=batch_size if isinstance(batch_size, int) else None,
                        seed=seed,
                    )
                # Both were timed in the hidden folder, which goes.
                rows += [replace(row, original="plain export", folded=str(target)) for row in timed]
        require_speedup(rows, min_speedup, written=False)
        staging.publish(staged, overwrite=overwrite)
        notify("published", "")
    return replace(report, artifacts=tuple(artifacts), benchmark=tuple(rows))
