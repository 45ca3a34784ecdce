"""Time fresh sessions side by side, call by call, so that drift falls on all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from foldbn.benchmark.plan import Cost, Plan
from foldbn.benchmark.sessions import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Spans = NDArray[np.int64]

Opener = Callable[[], Runner]


def cost_of(openers: Sequence[Opener]) -> Cost:
    """Measure what one group costs, on sessions that are thrown away."""
    with ExitStack() as stack:
        begin = time.perf_counter()
        runners = [stack.enter_context(closing(opener())) for opener in openers]
        opening = time.perf_counter() - begin
        rounds = []
        for _ in range(3):
            begin = time.perf_counter()
            for runner in runners:
                runner.run_once()
            rounds.append(time.perf_counter() - begin)
    # The fastest of three: the slower ones still warm up.
    return Cost(opening=opening, call=min(rounds))


def time_group(openers: Sequence[Opener], plan: Plan, turn: int) -> list[Spans]:
    """Open a fresh session on each arm and call them in alternating blocks.

    Args:
        openers: one for each arm; two may open the same model.
        plan: how often to call.
        turn: number of the group, which decides who is opened first.

    Returns:
        Nanoseconds of every call, shape ``[rounds * calls]``, for each arm.
    """
    turns = orders(len(openers))
    spans: list[list[int]] = [[] for _ in openers]
    with ExitStack() as stack:
        runners = {
            arm: stack.enter_context(closing(openers[arm]())) for arm in turns[turn % len(turns)]
        }
        for runner in runners.values():
            time_block(runner.run_once, plan.calls)
        for number in range(plan.rounds):
            # Twice the turn: a round and its mirror image stay together.
            for arm in turns[(2 * turn + number) % len(turns)]:
                spans[arm] += time_block(runners[arm].run_once, plan.calls)
    return [np.asarray(arm, dtype=np.int64) for arm in spans]


def orders(arms: int) -> list[tuple[int, ...]]:
    """List every order of the arms, each one followed by its mirror image.

    An order and its mirror put each arm, on average, at the same moment, so a linear drift
    cancels in any two rounds that make such a couple.
    """
    forward = [order for order in permutations(range(arms)) if order[0] < order[-1]]
    return [either for order in forward for either in (order, order[::-1])]


def time_block(call: Callable[[], None], calls: int) -> list[int]:
    """Run `call` so many times, and return the nanoseconds of each."""
    clock = time.perf_counter_ns
    spans = []
    for _ in range(calls):
        begin = clock()
        call()
        spans.append(clock() - begin)
    return spans


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Hold Python's cycle collector, which would land in some calls and not in others."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
