"""A branch whose predicate is known is taken, the other one goes; any other stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foldbn.frontends.conditionals import constant_value
from foldbn.frontends.freezing import Named, flatten
from tests.frontends.old_graphs import old_control_flow

X = np.asarray([[1.0, -2.0, 3.0]], np.float32)


def _flattened(build: Callable[[Any, Any], Any], *, old: bool) -> tuple[Any, Any, np.ndarray]:
    """Return a graph, the same flattened, and its output for X."""
    import tensorflow as tf

    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.Session() as session:
        x = v1.placeholder("float32", [1, 3], name="x")
        if old:
            with old_control_flow():
                y = v1.identity(build(v1, x), name="y")
        else:
            y = v1.identity(build(v1, x), name="y")
        wanted = session.run(y, {x: X})
    before = graph.as_graph_def()
    after = flatten(graph.as_graph_def(), [Named("y", "y:0", 1)])
    return before, after, wanted


def _run(graph_def: Any) -> np.ndarray:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run("foldbn_output_0:0", {"x:0": X})


def _true(v1: Any, x: Any) -> Any:
    return v1.cond(v1.constant(value=True), lambda: x * 2.0, lambda: x - 1.0)


def _false(v1: Any, x: Any) -> Any:
    return v1.cond(v1.constant(value=False), lambda: x * 2.0, lambda: x - 1.0)


def _computed(v1: Any, x: Any) -> Any:
    no = v1.constant(value=False)
    asked = v1.logical_and(v1.logical_not(no), v1.less(v1.constant(3), 4))
    return v1.cond(asked, lambda: x * 2.0, lambda: x - 1.0)


def _constants(v1: Any, x: Any) -> Any:
    """Branches without any tie to data but control inputs."""
    chosen = v1.cond(v1.constant(value=False), lambda: v1.constant(2.0), lambda: v1.constant(5.0))
    return x * chosen


def _nested(v1: Any, x: Any) -> Any:
    yes, no = v1.constant(value=True), v1.constant(value=False)

    def inner(y: Any) -> Any:
        return v1.cond(no, lambda: y + 10.0, lambda: v1.cond(yes, lambda: y * 3.0, lambda: y))

    return v1.cond(yes, lambda: inner(x * 2.0), lambda: inner(x - 1.0))


def _pair(v1: Any, x: Any) -> Any:
    one, two = v1.cond(v1.constant(value=True), lambda: (x, x * 2.0), lambda: (x * 3.0, x))
    return one + two


def _case(v1: Any, x: Any) -> Any:
    return v1.switch_case(v1.constant(1), [lambda: x, lambda: x * 7.0, lambda: x + 1.0])


KNOWN = {
    "true": _true,
    "false": _false,
    "computed": _computed,
    "constants": _constants,
    "nested": _nested,
    "pair": _pair,
}
FLOW = {"Switch", "Merge", "If", "StatelessIf", "Case", "StatelessCase"}


@pytest.mark.parametrize("old", [False, True], ids=["If", "Switch"])
@pytest.mark.parametrize("build", KNOWN.values(), ids=KNOWN)
def test_known(build, old):
    """Nothing is left of a conditional of known predicate, and the output is the same."""
    before, after, wanted = _flattened(build, old=old)
    assert {node.op for node in before.node} & FLOW
    assert not {node.op for node in after.node} & (FLOW | {"StatefulPartitionedCall"})
    np.testing.assert_array_equal(_run(after), wanted)


def test_case():
    """A choice among several goes too."""
    import tensorflow as tf

    before, after, wanted = _flattened(lambda _v1, x: _case(tf, x), old=False)
    assert {node.op for node in before.node} & {"Case", "StatelessCase"}
    assert not {node.op for node in after.node} & FLOW
    np.testing.assert_array_equal(_run(after), wanted)


def _by_data(v1: Any, x: Any) -> Any:
    asked = v1.reduce_sum(x) > 0
    return x * v1.cond(asked, lambda: v1.constant(2.0), lambda: v1.constant(5.0))


@pytest.mark.parametrize("old", [False, True], ids=["If", "Switch"])
@pytest.mark.parametrize("sign", [1, -1])
def test_by_data(old, sign):
    """A conditional on data stays, and its constants stay in their branches."""
    before, after, _ = _flattened(lambda v1, x: _by_data(v1, x * float(sign)), old=old)
    assert {node.op for node in after.node} & FLOW == {node.op for node in before.node} & FLOW
    from foldbn.frontends.frozen import prune

    # Without control inputs, as a frozen graph is.
    found = _run(prune(after, ("foldbn_output_0",)))
    np.testing.assert_array_equal(found, X * sign * (2 if sign > 0 else 5))


def test_position_of_a_merge():
    """Whoever reads which input of a Merge came through reads the branch that was taken."""

    def build(v1: Any, x: Any) -> Any:
        from tensorflow.python.ops import control_flow_ops

        no, yes = control_flow_ops.switch(x, v1.constant(value=True))
        value, index = control_flow_ops.merge([no, yes])
        return value * v1.cast(index + 4, "float32")

    _, after, wanted = _flattened(build, old=True)
    assert not {node.op for node in after.node} & FLOW
    np.testing.assert_array_equal(_run(after), wanted)
    np.testing.assert_array_equal(wanted, X * 5)


def test_a_predicate_that_reads_a_file_is_not_looked_at(tmp_path):
    """Nothing of a graph is run that could reach outside of it."""
    import tensorflow as tf

    (tmp_path / "secret").write_text("yes")
    with tf.Graph().as_default() as graph:
        content = tf.io.read_file(tf.constant(str(tmp_path / "secret")))
        asked = tf.equal(content, tf.constant("yes"), name="asked")
    graph_def = graph.as_graph_def()
    nodes = {node.name: node for node in graph_def.node}
    assert constant_value(asked.name, nodes, graph_def) is None
