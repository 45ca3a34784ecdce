"""Latency of ONNX and TFLite files, each in its own runtime, as a ratio with an interval.

One row answers "how many times as fast is this file as the reference, and how sure is
that?". Both files run in several fresh session pairs, in alternating blocks of calls; the
speedup is the median over pairs of original over candidate, its interval comes from a
bootstrap over pairs, and a run of the reference against itself says how much of that
machine's spread is noise. "Inconclusive" is a possible answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from foldbn.benchmark.formats import format_of
from foldbn.benchmark.measure import measure_pair
from foldbn.benchmark.providers import DEVICES, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from foldbn.benchmark.inputs import Lengths
    from foldbn.latencies import BenchmarkRow

__all__ = ["bench_files", "bench_pair", "format_of", "measure_pair", "resolve"]

_LITERT = (None, None)


def bench_files(
    paths: Sequence[Path],
    *,
    providers: Sequence[str] = (),
    threads: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
) -> tuple[BenchmarkRow, ...]:
    """Time each file against the first one.

    A lone file is timed against itself, which can only end as ``same`` or
    ``inconclusive``: it shows the file's latency and this machine's noise. Formats may
    differ; each file runs in its own runtime.

    Args:
        paths: ``.onnx`` and ``.tflite`` files, recognised by content; the first is the
            reference.
        providers: onnxruntime providers, short or full names; empty is what `resolve` finds.
            An ONNX candidate gets one row for each, and two for one with a memory of its own:
            without and with copies. A TFLite candidate gets one row in all, against the
            reference on the first provider.
        threads: intra-op threads.
        batch_size: samples per call; None is the models' own, or 1 where they leave it open.
        seed: of the inputs and of the bootstrap.

    Returns:
        Rows in the order of `paths`, then of `providers`.

    Raises:
        Unreadable: a path is missing or is neither ONNX nor TFLite.
        UsageError: onnxruntime knows no provider of such a name.
        ProviderMissing: a provider is not there.
        Unsupported: an input's type has no numbers, or two models have different fixed batches.
        RuntimeFailed: a runtime refuses a file.
    """
    formats = {path: format_of(path) for path in paths}
    reference, candidates = paths[0], (paths[1:] or paths[:1])
    # TFLite files need no onnxruntime, so a broken provider must not stop them.
    ways = _ways(resolve(providers)) if "onnx" in formats.values() else ()
    measure = partial(measure_pair, threads=threads, batch_size=batch_size, seed=seed)
    return tuple(
        measure(reference, candidate, provider=name, copies=copies)
        for candidate in candidates
        for name, copies in (ways if formats[candidate] == "onnx" else ways[:1] or (_LITERT,))
    )


def bench_pair(  # noqa: PLR0913 - one keyword for each thing a row reports
    original: Path,
    candidate: Path,
    *,
    format: Literal["onnx", "tflite"],  # noqa: A002 - the key of the row
    providers: Sequence[str] = (),
    threads: int = 1,
    batch_size: int | None = 1,
    seed: int = 0,
    lengths: Lengths | None = None,
) -> tuple[BenchmarkRow, ...]:
    """Time the plain export against foldbn's, both of one format.

    Args:
        original: the plain export.
        candidate: the folded export.
        format: of both; ``tflite`` has one row, ``onnx`` those of each provider.
        providers: onnxruntime providers; empty is what `resolve` finds.
        threads: intra-op threads.
        batch_size: samples per call.
        seed: of the inputs and of the bootstrap.
        lengths: shapes by input name, for axes that are open besides the batch; default 32.

    Raises:
        Unreadable, UsageError, ProviderMissing, Unsupported, RuntimeFailed: as `bench_files`.
    """
    ways = _ways(resolve(providers)) if format == "onnx" else (_LITERT,)
    measure = partial(
        measure_pair, threads=threads, batch_size=batch_size, seed=seed, lengths=lengths
    )
    return tuple(
        measure(original, candidate, provider=name, copies=copies) for name, copies in ways
    )


def _ways(names: Sequence[str]) -> tuple[tuple[str, bool | None], ...]:
    """Pair providers with whether a call copies: those with a memory of their own do both."""
    choices = {name: (False, True) if name in DEVICES else (None,) for name in names}
    return tuple((name, copies) for name in names for copies in choices[name])
