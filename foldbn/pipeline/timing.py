"""`bench`: files side by side; and the timing that `convert` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foldbn import benchmark
from foldbn.bounds import as_batch_size, as_min_speedup, as_seed, as_threads
from foldbn.errors import RuntimeFailed
from foldbn.latencies import Benchmark, BenchmarkRow
from foldbn.pipeline.proving import Proven
from foldbn.pipeline.steps import Clock, Notify, PathLike, require_speedup, silent


def bench(  # noqa: PLR0913 - every option of the command
    models: Sequence[PathLike],
    *,
    providers: Sequence[str] = (),
    threads: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    min_speedup: float | None = None,
    notify: Notify = silent,
) -> Benchmark:
    """Time .onnx and .tflite files side by side; the first is the reference.

    Args:
        models: the files; a lone one is timed against itself.
        providers: onnxruntime providers; default CPU, and CUDA where it is there.
        threads: intra-op threads.
        batch_size: samples per call; default the models' own, or 1. Any other length that all files
            leave open is 32.
        seed: of the generated inputs.
        min_speedup: raise if a measured speedup is below it.
        notify: called with ``("phase", name)`` as each phase begins.

    Raises:
        UsageError: a number is none, or beyond reason.
        Unreadable: a file is missing or neither ONNX nor TFLite.
        ProviderMissing: a provider is not there.
        TooSlow: `min_speedup` is not met.
    """
    seed, threads = as_seed(seed), as_threads(threads)
    batch_size, min_speedup = as_batch_size(batch_size), as_min_speedup(min_speedup)
    with Clock(notify).phase("bench"):
        rows = benchmark.bench_files(
            [Path(model) for model in models],
            providers=providers,
            threads=threads,
            batch_size=batch_size,
            seed=seed,
        )
    require_speedup(rows, min_speedup)
    return Benchmark(rows)


def time_own(
    plain: Path, candidate: Path, proven: Proven, **options: Any
) -> tuple[BenchmarkRow, ...]:
    """Time foldbn's file against the plain export, on inputs as long as the samples of the proof.

    Args:
        plain: the plain export.
        candidate: foldbn's file.
        proven: what both were made of.
        options: of `benchmark.bench_pair`.

    Raises:
        RuntimeFailed: one of them does not run in its runtime.
    """
    samples = proven.proof.references[-1].samples
    lengths = {name: array.shape for name, array in samples.items()}
    try:
        return benchmark.bench_pair(plain, candidate, lengths=lengths, **options)
    except RuntimeFailed as error:
        is_open = any(length is None for port in proven.plain.inputs for length in port.shape[1:])
        others = "; --samples with inputs of other lengths times it on these" * is_open
        raise RuntimeFailed(
            error.message, f"--no-bench converts it without timing{others}"
        ) from error
