"""Hold tensors inside the folded graph against the original's, where outputs tell little.

An output that is an arg-max, or a sigmoid that has saturated, stays the same whatever a wrong
fold does before it. But no map rests in front of an op that lets none by: what such an op
reads must be the same in both graphs.
"""

from __future__ import annotations

import numpy as np

from foldbn.errors import VerificationFailed
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.precision import GraphRunner, widen
from foldbn.verification.algebra import TOLERANCE
from foldbn.verification.batches import Samples
from foldbn.verification.metrics import distance

_MOST = 32
_SAMPLES = 2


def check_landmarks(original: FrozenModel, folded: FrozenModel, samples: Samples) -> int:
    """Compare up to 32 inner tensors of both graphs in float64, on two samples.

    Args:
        original: the graph as it was frozen.
        folded: the folded graph, with its landmarks.
        samples: inputs, by name.

    Returns:
        How many tensors were compared. Those that are not finite in the original prove
        nothing and do not count.

    Raises:
        VerificationFailed: one is further off than float64 rounding.
    """
    pairs = sorted(folded.landmarks.items())
    chosen = pairs[:: max(1, -(-len(pairs) // _MOST))]
    feed = {
        port.node: samples[port.name][: original.batch_size or _SAMPLES].astype(port.dtype)
        for port in widen(original).inputs
    }
    wanted = GraphRunner(widen(original)).run([before for before, _ in chosen], feed)
    found = GraphRunner(widen(folded)).run([after for _, after in chosen], feed)
    compared = 0
    for (name, _), exact, other in zip(chosen, wanted, found, strict=True):
        if exact.dtype != np.float64 or not exact.size or not np.isfinite(exact).all():
            continue
        compared += 1
        gap = distance(exact, other)
        if not gap.max_rel <= TOLERANCE:
            raise VerificationFailed(
                f"the folded graph differs in float64 at {name!r} by {gap.max_rel:.1e} of its"
                f" range, the algebra allows {TOLERANCE:.0e}",
                "nothing was written: this is a bug in foldbn, please report it",
            )
    return compared
