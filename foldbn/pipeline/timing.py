"""`bench`: files side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldbn import benchmark
from foldbn.bounds import as_batch_size, as_min_speedup, as_seed, as_threads
from foldbn.latencies import Benchmark
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
        batch_size: samples per call; default the models' own, or 1.
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
