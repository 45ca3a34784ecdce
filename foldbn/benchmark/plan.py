"""How many calls a group of sessions can afford."""

from __future__ import annotations

from dataclasses import dataclass

from foldbn.benchmark.statistics import MIN_PAIRS

ROW_S = 3.0
# Every order of three arms, twice over: blocks of a small model then last a few milliseconds,
# shorter than the drift of a clock.
ROUNDS = 12


@dataclass(frozen=True)
class Plan:
    """How often to call each arm of a group: `rounds` blocks of `calls` calls."""

    rounds: int
    calls: int


@dataclass(frozen=True)
class Cost:
    """What one group costs, in seconds, all arms together.

    Attributes:
        opening: to load every arm and call it once.
        call: to call every arm once, warm.
    """

    opening: float
    call: float


def plan_for(cost: Cost, groups: int, budget_s: float) -> Plan:
    """Choose the calls of a group from what it costs.

    A group gets an equal share of `ROW_S`, of which at least half is for timing however
    long loading takes. Slow models get one call to a block, and as few blocks as let
    `MIN_PAIRS` groups fit into three quarters of the budget; the rest is for a machine
    that slows down.

    Args:
        cost: of one group.
        groups: how many are wanted.
        budget_s: seconds for all of them.
    """
    share = ROW_S / groups
    blocks = ROUNDS + 1  # one more warms up
    affordable = max(share - cost.opening, share / 2) / cost.call
    if affordable >= blocks:
        return Plan(rounds=ROUNDS, calls=int(affordable / blocks))
    limit = (0.75 * budget_s / MIN_PAIRS - cost.opening) / cost.call - 1
    # Even numbers, so that each order has its mirror image.
    return Plan(rounds=next((few for few in (6, 4, 2) if few <= limit), 1), calls=1)
