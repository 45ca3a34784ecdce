"""No op without a case of the law, and no op without a rule but the walls."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules import Blocks, backward, forward
from tests.rules.cases import CASES


def kinds_of_op() -> set[type[ops.Op]]:
    """Return every class of op, at any depth below Op."""
    found, todo = set(), [ops.Op]
    while todo:
        children = todo.pop().__subclasses__()
        found.update(children)
        todo.extend(children)
    return {kind for kind in found if kind.__module__.startswith(f"{ops.__name__}.")}


def factories() -> list[Callable[..., ops.Commuting]]:
    """Return the functions of ops that make a Commuting."""
    made = inspect.getmembers(ops, inspect.isfunction)
    return [each for _, each in made if inspect.signature(each).return_annotation == "Commuting"]


def test_every_op_has_a_case():
    """The law is put to every class of op."""
    assert kinds_of_op() == {type(case.op) for case in CASES}


@pytest.mark.parametrize("factory", factories(), ids=lambda factory: factory.__name__)
def test_every_commuting_op_has_a_case(factory):
    """The law is put to what every factory makes: same name, same traits."""
    needed = {"axes": (0,), "padded": True}
    parameters = inspect.signature(factory).parameters.values()
    arguments = [each.name for each in parameters if each.default is each.empty]
    made = factory(**{name: needed[name] for name in arguments})
    commuting = [case.op for case in CASES if isinstance(case.op, ops.Commuting)]
    tried = {(op.name, op.scales, op.shifts) for op in commuting}
    assert (made.name, made.scales, made.shifts) in tried


def test_every_op_but_a_wall_has_rules():
    """Walls have no rule, nor have the way into a lookup and the way back past a shape or loop."""
    assert {kind for kind in kinds_of_op() if kind not in forward} == {ops.Opaque, ops.Embedding}
    assert {kind for kind in kinds_of_op() if kind not in backward} == {
        ops.Opaque,
        ops.ShapeOf,
        ops.Recurrence,
    }


@pytest.mark.parametrize("rules", [backward, forward], ids=["backward", "forward"])
@pytest.mark.parametrize("kind", ["Softmax", "LSTM"])
def test_opaque_blocks_and_names_its_kind(kind, rules):
    """An op nobody knows is a wall, and the reason says which."""
    outcome = rules(ops.Opaque(kind), (Affine.of(2, 1, 1),))
    assert outcome == Blocks(f"no affine map can move past {kind}")
