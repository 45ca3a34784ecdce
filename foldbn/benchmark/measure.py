"""Time two models against each other so that the machine's moods cancel.

Three things differ between two runs of one and the same model: the session (where its
memory landed), the moment (clock speed, neighbours), and who went first. So every session
pair is fresh, its calls alternate in short blocks, and the order changes from block to
block and from pair to pair. A second session of the reference runs along in each pair: its
ratio to the first is what this machine makes of no difference at all.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from foldbn.benchmark import statistics
from foldbn.benchmark.agreement import agree
from foldbn.benchmark.formats import format_of
from foldbn.benchmark.litert_session import LITERT
from foldbn.benchmark.plan import plan_for
from foldbn.benchmark.sessions import open_runner
from foldbn.benchmark.timing import cost_of, no_garbage_collection, time_group
from foldbn.latencies import BenchmarkRow

if TYPE_CHECKING:
    from pathlib import Path

    from foldbn.benchmark.inputs import Lengths
    from foldbn.benchmark.timing import Opener, Spans

BUDGET_S = 20.0
PAIRS = 12


def measure_pair(  # noqa: PLR0913 - the coordinates of a measurement
    original: Path,
    candidate: Path,
    *,
    provider: str | None,
    threads: int,
    batch_size: int | None,
    seed: int,
    copies: bool | None = None,
    lengths: Lengths | None = None,
    pairs: int = PAIRS,
    budget_s: float = BUDGET_S,
) -> BenchmarkRow:
    """Time `candidate` against `original`.

    A small model takes about `ROW_S` seconds. A large one takes as many pairs as fit into
    the budget, at least one; with fewer than `statistics.MIN_PAIRS` the verdict is
    ``inconclusive``. Where both are the same file, every pair measures noise.

    Args:
        original: the reference, ``.onnx`` or ``.tflite``.
        candidate: the model compared with it.
        provider: onnxruntime's full name; None is the CPU. TFLite runs in LiteRT.
        threads: intra-op threads.
        batch_size: samples per call; None is the models' own.
        seed: of the inputs and of the bootstrap.
        copies: whether each call copies inputs and outputs; None where there is nothing to copy.
        lengths: for axes that both leave open besides the batch; default 32 for each.
        pairs: session pairs to measure.
        budget_s: seconds after which no further pair is started.

    Raises:
        Unreadable: a file is missing or foreign.
        ProviderMissing: onnxruntime would run on something other than `provider`.
        Unsupported: inputs that foldbn cannot make up, or two different fixed batches.
        RuntimeFailed: a runtime refuses a file.
    """
    deadline = time.perf_counter() + budget_s
    kind = format_of(candidate)
    settings = partial(
        open_runner, provider=provider, threads=threads, seed=seed, copies=bool(copies)
    )
    open_candidate = partial(settings, candidate, kind)
    open_original = partial(settings, original, format_of(original))
    agreed = agree(open_original, open_candidate, batch_size, lengths or {})
    sizes = {"batch_size": agreed.batch_size, "lengths": agreed.lengths}
    reference: Opener = partial(open_original, **sizes)
    tested: Opener = partial(open_candidate, **sizes)

    # With one file on both arms the candidate is the second session of the reference.
    itself = original == candidate
    arms = (reference, tested) if itself else (reference, tested, reference)
    plan = plan_for(cost_of(arms), pairs, budget_s)

    groups: list[list[Spans]] = []
    with no_garbage_collection():
        for turn in range(pairs):
            if turn and time.perf_counter() > deadline:
                break
            groups.append(time_group(arms, plan, turn))

    ratios = [statistics.pair_ratio(group[0], group[1]) for group in groups]
    noise = [statistics.pair_ratio(group[0], group[-1]) for group in groups]
    bounds = statistics.interval(ratios, seed=seed)
    noise_bounds = statistics.interval(noise, seed=seed)
    return BenchmarkRow(
        format=kind,
        provider=agreed.provider,
        threads=threads,
        batch_size=agreed.batch_size,
        copies=copies,
        optimization=None if agreed.provider == LITERT else "all",
        original_ms=statistics.latency(np.concatenate([group[0] for group in groups])),
        folded_ms=statistics.latency(np.concatenate([group[1] for group in groups])),
        speedup=statistics.speedup(ratios),
        speedup_ci95=bounds,
        noise_ci95=noise_bounds,
        verdict=statistics.verdict(ratios, bounds, noise_bounds),
        original=str(original),
        folded=str(candidate),
        shapes=agreed.shapes,
    )
