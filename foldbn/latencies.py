"""What timing returns; field names are the JSON's keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Latency:
    """Milliseconds per call."""

    p50: float
    p95: float


@dataclass(frozen=True)
class BenchmarkRow:
    """Original and folded export timed against each other on one provider.

    Attributes:
        format: ``onnx`` or ``tflite``.
        provider: the provider that really ran, by onnxruntime's name; ``LiteRT`` for TFLite.
        threads: intra-op threads.
        batch_size: samples per call.
        copies: on a provider with a memory of its own, whether each call copies inputs and outputs
            to it and back; None on others.
        optimization: onnxruntime's graph optimization level; None for TFLite.
        original_ms: latency of the reference, in milliseconds.
        folded_ms: latency of the candidate, in milliseconds.
        speedup: original over folded, median of the session pairs.
        speedup_ci95: 95 % bootstrap interval of `speedup`.
        noise_ci95: the same interval with the reference on both arms.
        verdict: ``faster``, ``slower``, ``same`` or ``inconclusive``.
        original: path of the reference; ``plain export`` where it was made to be timed only.
        folded: path of the candidate.
        shapes: of the candidate's inputs, by name, batch first; None where the files leave no
            length open but the batch.
    """

    format: str
    provider: str
    threads: int
    batch_size: int
    copies: bool | None
    optimization: str | None
    original_ms: Latency
    folded_ms: Latency
    speedup: float
    speedup_ci95: tuple[float, float]
    noise_ci95: tuple[float, float]
    verdict: Literal["faster", "slower", "same", "inconclusive"]
    original: str
    folded: str
    shapes: dict[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Benchmark:
    """What `foldbn.bench` measured."""

    benchmark: tuple[BenchmarkRow, ...]
