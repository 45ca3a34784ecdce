"""The functions of a graph, which are the bodies of its loops and branches, in float32."""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import GraphDef, node_of
from foldbn.frontends.retyping import TO_SINGLE, casts_floats, retype_library

_SUFFIX = "_in_float32"


def library_in_float32(graph_def: GraphDef) -> None:
    """Let the functions of a graph compute in float32, without casts from float to float.

    They get names of their own: TensorFlow keeps the functions of all models under their names.

    Raises:
        Unsupported: one looks at the bits of numbers that are not float32.
    """
    functions = graph_def.library.function
    names = {function.signature.name for function in functions}
    for function in functions:
        _refuse_bits(function)
        _drop_casts(function)
        function.signature.name += _SUFFIX
    for node in (*graph_def.node, *(n for function in functions for n in function.node_def)):
        if node.op in names:
            node.op += _SUFFIX
        for value in node.attr.values():
            for called in (value.func, *value.list.func):
                if called.name in names:
                    called.name += _SUFFIX
    retype_library(graph_def, TO_SINGLE)


def _refuse_bits(function: Any) -> None:
    for node in function.node_def:
        if node.op == "Bitcast" and {node.attr["T"].type, node.attr["type"].type} & {*TO_SINGLE}:
            raise Unsupported(
                f"{node.name!r} in a loop or branch looks at the bits of numbers that are not"
                " float32",
                "load the model with a float32 dtype policy and save it again",
            )


def _drop_casts(function: Any) -> None:
    """Let what reads a cast between floats read what it casts.

    A tensor of a function is an argument, or ``node:output:number``: ``cast:y:0`` of a cast.
    """
    idle = {node.name: node.input[0] for node in function.node_def if casts_floats(node)}

    def behind(reference: str) -> str:
        while node_of(reference) in idle:
            reference = idle[node_of(reference)]
        return reference

    kept = [node for node in function.node_def if node.name not in idle]
    for node in kept:
        data = [behind(source) for source in node.input if not source.startswith("^")]
        order = [s for s in node.input if s.startswith("^") and s.removeprefix("^") not in idle]
        node.input[:] = [*data, *order]
    for name in function.ret:
        function.ret[name] = behind(function.ret[name])
    remaining = [type(node).FromString(node.SerializeToString()) for node in kept]
    del function.node_def[:]
    function.node_def.extend(remaining)
