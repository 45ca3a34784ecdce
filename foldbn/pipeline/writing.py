"""Write one artefact into the hidden folder, run it there, and tell what it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from foldbn import export, verification
from foldbn.export.staging import Staging
from foldbn.frontends import sniff
from foldbn.pipeline.proving import Proven
from foldbn.pipeline.steps import Clock, require_equal, verify_own
from foldbn.results import Artifact, Change, Summary


class Written(NamedTuple):
    """An artefact in the hidden folder, and the plain export beside it if it is to be timed."""

    artifact: Artifact
    candidate: Path
    plain: Path | None


def write_file(  # noqa: PLR0913 - the coordinates of an artefact
    staging: Staging,
    target: Path,
    kind: export.FileFormat,
    proven: Proven,
    clock: Clock,
    *,
    batch_size: export.BatchSize,
    opset: int,
    bench: bool,
) -> Written:
    """Write an ONNX or TFLite file and run it in its own runtime.

    Raises:
        VerificationFailed: its outputs are further off than rounding allows.
    """
    with clock.phase("export"):
        plain = export.export(proven.plain, kind, batch_size, opset, sketch=not bench)
        before = export.statistics_of(plain)
        # No target ends so: a model called original.h5 has a target original.onnx.
        original = staging.write(f"{kind}.plain", plain) if bench else None
        del plain
        counts = {n: str(each) for n, each in asdict(Summary.of(proven.decisions)).items()}
        origin = {"source_sha256": proven.source.sha256, **counts}
        content = export.export(proven.model, kind, batch_size, opset, origin=origin)
        candidate = staging.write(target.name, content)
    with clock.phase("verify"):
        verdict = verify_own(proven.proof.references, content, target.name)
    require_equal(verdict, target.name, proven.source.precision, proven.greatest)
    after = export.statistics_of(content)
    artifact = Artifact(
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
    return Written(artifact, candidate, original)


def write_directory(  # noqa: PLR0913 - the coordinates of an artefact
    staging: Staging,
    target: Path,
    signatures: Sequence[Proven],
    left_out: dict[str, str],
    clock: Clock,
    *,
    batch_size: export.BatchSize,
) -> tuple[Artifact, Path]:
    """Write a SavedModel directory and run each of its signatures in TensorFlow.

    Args:
        staging: where to.
        target: its final name.
        signatures: the chosen one first; its graph is the one that is counted.
        left_out: signatures that are not in it, and why.
        clock: to time the phases.
        batch_size: leading axis.

    Returns:
        What it is, and where it waits.

    Raises:
        VerificationFailed: an output is further off than rounding allows.
    """
    candidate = staging.folder / target.name
    models = [each.model for each in signatures]
    with clock.phase("export"):
        export.export_directory(models, candidate, batch_size)
        staging.settle(candidate)
    with clock.phase("verify"):
        verdicts = [
            verify_own(each.proof.references, candidate, target.name, each.model.signature)
            for each in signatures
        ]
    for each, verdict in zip(signatures, verdicts, strict=True):
        require_equal(verdict, target.name, each.source.precision, each.greatest)
    before = export.graph_statistics(signatures[0].plain)
    after = export.graph_statistics(models[0], candidate)
    artifact = Artifact(
        format="savedmodel",
        path=str(target),
        bytes=after.bytes,
        sha256=sniff.sha256_of(candidate),
        nodes=Change(before.nodes, after.nodes),
        ops=after.ops,
        params=Change(before.params, after.params),
        size=Change(None, after.bytes),
        verification=verification.worst_of(verdicts),
        signatures=tuple(model.signature for model in models),
        left_out=left_out,
    )
    return artifact, candidate
