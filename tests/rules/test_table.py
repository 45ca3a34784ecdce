"""The tables of rules: one rule per op and direction, a wall where there is none."""

from __future__ import annotations

import pytest

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules.table import Absorbs, Blocks, Rules

MAP = Affine.of(2, 1, 1)


@pytest.fixture
def rules():
    """Return an empty table."""
    return Rules("sideways")


def test_an_op_of_one_port_gets_its_map(rules):
    """The rule of an op of one port sees one map."""
    seen = []

    @rules.rule(ops.ShapeOf)
    def rule(op, affine):
        seen.append(affine)
        return Absorbs(op)

    op = ops.ShapeOf()
    assert rules(op, (MAP,)).op is op
    assert seen == [MAP]
    assert rule(op, MAP).op is op


def test_a_join_gets_all_maps(rules):
    """The rule of an op of several ports sees them all, None where no map arrived."""
    seen = []

    @rules.join(ops.Add)
    def _(op, maps):
        seen.append(maps)
        return Absorbs(op)

    rules(ops.Add(), [None, MAP])
    assert seen == [(None, MAP)]


def test_an_op_without_a_rule_blocks(rules):
    """What no rule speaks of is a wall, named in the reason."""
    assert rules(ops.relu("ReLU6"), (MAP,)) == Blocks("no affine map can move past ReLU6")


def test_a_rule_is_for_one_class(rules):
    """A subclass does not inherit the rule: its kernel is another."""
    rules.rule(ops.Conv)(lambda op, _: Absorbs(op))
    assert ops.Conv in rules
    assert ops.DepthwiseConv not in rules


def test_a_second_rule_is_an_error(rules):
    """One op has one rule in each direction."""
    rules.rule(ops.Add)(lambda op, _: Absorbs(op))
    with pytest.raises(ValueError, match="Add already has a sideways rule"):
        rules.rule(ops.Add)
    with pytest.raises(ValueError, match="Add already has a sideways rule"):
        rules.join(ops.Add)
