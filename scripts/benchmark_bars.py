"""What the benchmark's ratios are to be, and whether they are: numbers only, nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from foldbn.benchmark import statistics

# onnxruntime: latency of foldbn's file over the twin's, one sample.
TWIN = {
    **dict.fromkeys(("mlp", "DenseNet121", "ResNet50", "MobileNetV2"), 1.04),
    **dict.fromkeys(("ResNet50V2", "cnn"), 1.06),
}
# onnxruntime: latency of the plain export over foldbn's file.
PLAIN = {"mlp": 1.10, "cnn": 1.10, "DenseNet121": 1.18, "ResNet50V2": 1.05}
NEVER_SLOWER = 0.98
# onnxruntime: latency of foldbn's file over that of another tool.
PEER = 1.02
# LiteRT: latency of the plain file over foldbn's where normalizations are left in the plain one.
LEFTOVERS = 1.02
# What a map per channel is written as, in ONNX and in TFLite.
_MAPS = (
    *("Mul", "Add", "Sub", "BatchNormalization", "Conv"),
    *("MUL", "ADD", "SUB", "DEPTHWISE_CONV_2D"),
)


class Ratio(NamedTuple):
    """Latency of one arm over another's.

    Attributes:
        value: median over the groups of sessions.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Bar(NamedTuple):
    """A bound on the ratio ``over / under``: at least `bound`, or at most."""

    over: str
    under: str
    at_least: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.over} / {self.under} {'>=' if self.at_least else '<='} {self.bound}"


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Return a ratio of latencies that were taken side by side.

    Args:
        over: median latency in each group of sessions.
        under: of the other arm in the same groups.
    """
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return Ratio(statistics.speedup(ratios), *statistics.interval(ratios, seed=0))


def leftovers(ops: Mapping[str, int], twin: Mapping[str, int]) -> int:
    """Count the nodes that normalizations have left: what is more than in the twin."""
    return sum(max(0, ops.get(op, 0) - twin.get(op, 0)) for op in _MAPS)


def bars(
    network: str, runtime: str, batch: int, arms: Sequence[str], left: int | None
) -> Iterator[Bar]:
    """Yield the bars for one network.

    Args:
        network: its name.
        runtime: ``onnx`` or ``tflite``.
        batch: samples per call.
        arms: those that were timed beside foldbn.
        left: nodes that normalizations left in the plain file; None where that is not known.
    """
    if runtime == "tflite":
        if "plain" in arms:
            yield Bar("plain", "foldbn", at_least=True, bound=LEFTOVERS if left else NEVER_SLOWER)
        return
    if "plain" in arms:
        yield Bar("plain", "foldbn", at_least=True, bound=PLAIN.get(network, NEVER_SLOWER))
    for peer in ("slim", "sim"):
        if peer in arms:
            yield Bar("foldbn", peer, at_least=False, bound=PEER)
    if "twin" in arms and batch == 1 and network in TWIN:
        yield Bar("foldbn", "twin", at_least=False, bound=TWIN[network])


def verdict(found: Ratio, bar: Bar) -> str:
    """Say ``pass`` or ``MISS``, and ``unsure`` with it where the interval holds the bound."""
    met = found.value >= bar.bound if bar.at_least else found.value <= bar.bound
    unsure = found.low < bar.bound < found.high
    return ("pass" if met else "MISS") + (", unsure" if unsure else "")
