"""Give a TFLite file the names of the model where TensorFlow's converter would not take them.

The converter makes Python arguments of inputs, and writes no signature at all where one of them
has a name that is none. It gets numbered names instead, and these are replaced in the file, whose
format has a string for each: a new string stands behind all else, and its reference points to it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from keyword import iskeyword
from typing import Any

from foldbn.frontends.frozen import FrozenModel

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ALIGNMENT = 4
_NAME_OF_A_PORT = 4  # where the tables TensorMap and Tensor have their name among their fields
_NAME_OF_A_TENSOR = 10


def with_plain_names(model: FrozenModel) -> tuple[FrozenModel, dict[str, str]]:
    """Return a model whose ports have names that the converter takes, and the right ones by these.

    Where all names are such, the model is returned as it is.
    """
    ports = (*model.inputs, *model.outputs)
    if all(_PLAIN.fullmatch(port.name) and not iskeyword(port.name) for port in ports):
        return model, {}
    names = {f"foldbn_port_{number}": port.name for number, port in enumerate(ports)}
    renamed = [replace(port, name=name) for name, port in zip(names, ports, strict=True)]
    count = len(model.inputs)
    return replace(model, inputs=tuple(renamed[:count]), outputs=tuple(renamed[count:])), names


def with_names(content: bytes, names: Mapping[str, str]) -> bytes:
    """Return a file whose signature has other names for its inputs and outputs.

    Args:
        content: of the file.
        names: by the name that is there; what is not among them stays.
    """
    file = bytearray(content)
    for place, name in list(_changes(content, names)) if names else ():
        file += bytes(-len(file) % _ALIGNMENT)
        struct.pack_into("<I", file, place, len(file) - place)
        encoded = name.encode()
        file += struct.pack("<I", len(encoded)) + encoded + b"\0"
    file += bytes(-len(file) % _ALIGNMENT) if names else b""
    return bytes(file)


def _changes(content: bytes, names: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield where the file refers to a name, and the name that belongs there."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    for signature in map(model.SignatureDefs, range(model.SignatureDefsLength())):
        graph = model.Subgraphs(signature.SubgraphIndex())
        for number in range(signature.InputsLength()):
            port = signature.Inputs(number)
            tensor, there = graph.Tensors(port.TensorIndex()), port.Name().decode()
            if there in names:
                right = tensor.Name().decode().replace(there, names[there])
                yield _place(tensor, _NAME_OF_A_TENSOR), right
        for port in (
            *map(signature.Inputs, range(signature.InputsLength())),
            *map(signature.Outputs, range(signature.OutputsLength())),
        ):
            if (there := port.Name().decode()) in names:
                yield _place(port, _NAME_OF_A_PORT), names[there]


def _place(table: Any, field: int) -> int:
    """Return where a table of a flatbuffer has the reference of one of its fields."""
    inner = table._tab  # noqa: SLF001 - the generated classes read only
    return int(inner.Pos + inner.Offset(field))
