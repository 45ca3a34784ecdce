"""`inspect` and `verify`: look, and write nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldbn import export
from foldbn.bounds import as_seed
from foldbn.errors import (
    FoldbnError,
    RuntimeFailed,
    Unreadable,
    Unsafe,
    Unsupported,
    VerificationFailed,
)
from foldbn.frontends.external_data import with_external_data
from foldbn.frontends.sniff import check_name
from foldbn.pipeline.judging import Judge
from foldbn.pipeline.steps import (
    Choices,
    Clock,
    Notify,
    PathLike,
    check_samples,
    load,
    load_and_fold,
    require_folded,
    samples_for,
    silent,
)
from foldbn.results import (
    ArtifactVerification,
    Failure,
    Inspection,
    Summary,
    Verification,
    VerifiedArtifact,
)


def inspect(  # noqa: PLR0913 - every option of the command
    model: PathLike,
    *,
    signature: str | None = None,
    custom_objects: PathLike | None = None,
    unsafe: bool = False,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    require_fold: bool = False,
    notify: Notify = silent,
) -> Inspection:
    """Say what would be folded in a model and why not; write nothing.

    Args:
        model: an .h5 or .keras file, a SavedModel directory or a frozen graph (.pb), recognised by
            content.
        signature: of a SavedModel; default ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        unsafe: run the Python code that Lambda layers of a Keras file hold.
        inputs: of a frozen graph, the names of the tensors that are fed.
        outputs: of a frozen graph, the names of the tensors that are wanted.
        require_fold: raise if an affine layer would be kept.
        notify: called with ``("phase", name)`` as each phase begins.

    Raises:
        Unreadable: there is no model that foldbn knows.
        Unsafe: it would run code of its own or touch the machine.
        Unsupported: it is a model that foldbn cannot load.
        BadWeights: a weight is NaN or infinite.
        NotFolded: `require_fold` is not met.
    """
    choices = Choices(signature, custom_objects, unsafe, inputs, outputs)
    folded = load_and_fold(Path(model), choices, Clock(notify))
    if require_fold:
        require_folded(folded.decisions)
    decisions = folded.decisions
    summary = Summary.of(decisions)
    return Inspection(folded.loaded.source, summary, decisions, folded.reordered)


def verify(  # noqa: PLR0913 - every option of the command
    original: PathLike,
    exported: Sequence[PathLike],
    *,
    signature: str | None = None,
    custom_objects: PathLike | None = None,
    unsafe: bool = False,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    samples: PathLike | None = None,
    seed: int = 0,
    notify: Notify = silent,
) -> Verification:
    """Say whether exported files, by whatever tool, still compute the original model.

    Args:
        original: an .h5 or .keras file, a SavedModel directory or a frozen graph (.pb),
            recognised by content.
        exported: .onnx and .tflite files and SavedModel directories.
        signature: of a SavedModel; default ``serving_default``, or the only one.
        custom_objects: a Python file that defines a Keras file's own layers; it is run.
        unsafe: run the Python code that Lambda layers of a Keras file hold.
        inputs: of a frozen graph, the names of the tensors that are fed.
        outputs: of a frozen graph, the names of the tensors that are wanted.
        samples: an .npy or .npz file with inputs to verify on, besides the generated ones.
        seed: of the generated inputs.
        notify: called with ``("phase", name)`` as each phase begins.

    Returns:
        A verdict for each file; `passed` is whether all of them passed. A file that cannot be
        compared, beside others that can, has its `error` there.

    Raises:
        UsageError: `seed` is negative or no whole number.
        Unreadable: a file is missing, or none of them can be read.
        Unsafe: a model would run code of its own or touch the machine.
        RuntimeFailed: no exported file can be run, or has the original's ports.
        BadSamples: the samples cannot be read, or do not fit the original.
    """
    seed = as_seed(seed)
    check_samples(samples)
    contents = [(Path(path), _read(Path(path))) for path in exported]
    clock = Clock(notify)
    with clock.phase("load"):
        choices = Choices(signature, custom_objects, unsafe, inputs, outputs)
        loaded = load(Path(original), choices)
    with clock.phase("verify"):
        sets = samples_for(loaded, samples, seed)
        judge = Judge(loaded, sets)
        broken: list[FoldbnError] = []
        artifacts = tuple(_judged(judge, path, content, broken) for path, content in contents)
    if len(broken) == len(artifacts):
        raise broken[0]
    passed = all(artifact.verification.passed for artifact in artifacts)
    return Verification(loaded.source, passed, artifacts)


def _judged(
    judge: Judge, path: Path, content: bytes | Path, broken: list[FoldbnError]
) -> VerifiedArtifact:
    """Return the verdict on a file, or why there is none.

    Args:
        judge: of the original.
        path: of the file.
        content: of it.
        broken: gets the error of a file that cannot be read or run.
    """
    error = None
    try:
        verdict = judge.verdict(content, path.name)
    except (Unreadable, Unsafe, Unsupported, RuntimeFailed, VerificationFailed) as refusal:
        if not isinstance(refusal, VerificationFailed):
            broken.append(refusal)
        verdict = ArtifactVerification.of_nothing()
        error = Failure(refusal.id, refusal.exit_code, refusal.message, refusal.hint)
    return VerifiedArtifact(str(path), export.format_of(content), verdict, error)


def _read(path: Path) -> bytes | Path:
    """Return the content of a file, or the path of a SavedModel directory."""
    check_name(path)
    if (path / "saved_model.pb").is_file():
        return path
    if not path.is_file():
        raise Unreadable(
            f"{str(path)!r} is {'no SavedModel' if path.is_dir() else 'no file'}",
            "give .onnx or .tflite files or SavedModel directories to verify",
        )
    try:
        return with_external_data(path.read_bytes(), path.parent, str(path))
    except OSError as error:
        raise Unreadable(f"cannot read {str(path)!r}: {error.strerror}") from error
