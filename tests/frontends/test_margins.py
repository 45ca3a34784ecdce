"""Which margins are equal whatever they are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn.frontends.context import Context
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.margins import always_equal


def _drawn(_lengths: Any) -> Any:
    import tensorflow as tf

    return tf.random.uniform([2], 0, 9, tf.int32)


PAIRS = {
    "the same": (lambda n: (2 - n) % 2, lambda n: (2 - n) % 2, True),
    "zeros added": (lambda n: (2 - n) % 2 + [0, 0], lambda n: (2 - n) % 2, True),
    "ones added": (lambda n: (2 - n) % 2 + [0, 1], lambda n: (2 - n) % 2, False),
    "another block": (lambda n: (2 - n) % 2, lambda n: (3 - n) % 3, False),
    "another axis": (lambda n: n[0] % 2, lambda n: n[1] % 2, False),
    "another op": (lambda n: n - 2, lambda n: n + 2, False),
    "by chance": (_drawn, _drawn, False),
}


@pytest.mark.parametrize(("one", "other", "equal"), PAIRS.values(), ids=PAIRS)
def test_margins(one, other, equal):
    """Only what is computed by the same ops from the same tensors is always equal."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        lengths = tf.compat.v1.placeholder(np.int32, [2], name="lengths")
        names = [each(lengths).name for each in (one, other)]
    context = Context(FrozenModel(graph.as_graph_def(), (), ()), {})
    assert always_equal(context, *names) is equal
