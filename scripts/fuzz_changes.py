"""Change bytes, JSON, protobuf messages and flatbuffer tables in small ways, by a seed."""

from __future__ import annotations

import json
import random
from typing import Any

NUMBERS = [0, 1, -1, 2, 3, 7, 2**15, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63), 0.5, 1e308]
TEXTS = ["", "\x1b[31mred", "::error::x", "../../x", "<script>", "é" * 300, "\ud800", "a" * 70_000]
MODULES = ["os", "builtins", "keras.layers", "keras.utils", "tensorflow", "", "subprocess"]
CLASSES = ["Lambda", "TFSMLayer", "Dense", "Conv2D", "Sequential", "__lambda__", "Reshape", "LSTM"]


def flip(content: bytes, rng: random.Random) -> bytes:
    """Change one to sixteen bits."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def truncate(content: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return content[: rng.randrange(1, len(content))]


def splice(content: bytes, rng: random.Random) -> bytes:
    """Write a block over another place, or insert it there."""
    start, size = rng.randrange(len(content)), rng.choice([1, 4, 8, 64, 512, 4096])
    place, block = rng.randrange(len(content)), content[start : start + size]
    return content[:place] + block + content[place + len(block) * rng.randrange(2) :]


def exchange(content: bytes, rng: random.Random) -> bytes:
    """Exchange two blocks."""
    size = rng.choice([8, 64, 512, 4096])
    one, other = sorted(rng.randrange(max(len(content) // size, 1)) * size for _ in range(2))
    first, second = content[one : one + size], content[other : other + size]
    if one == other:
        return content[:one] + content[one + size :]
    return content[:one] + second + content[one + size : other] + first + content[other + size :]


def resize(content: bytes, rng: random.Random) -> bytes:
    """Write an extreme or neighbouring number where a length may stand."""
    size = rng.choice([1, 2, 4, 8])
    place = rng.randrange(max(len(content) // size - 1, 1)) * size
    if rng.random() < 0.5:
        place = rng.randrange(min(len(content) - 8, 2048))
    value = int.from_bytes(content[place : place + size], "little")
    top = 1 << (8 * size)
    new = rng.choice([0, 1, value + 1, value - 1, value * 2, top - 1, top // 2, top // 2 - 1])
    return content[:place] + (new % top).to_bytes(size, "little") + content[place + size :]


def fill(content: bytes, rng: random.Random) -> bytes:
    """Overwrite a block with noise, zeros or ones."""
    size = rng.choice([4, 64, 1024])
    place = rng.randrange(len(content))
    block = rng.choice([rng.randbytes(size), bytes(size), b"\xff" * size])
    return content[:place] + block + content[place + size :]


BYTES = [flip, truncate, splice, exchange, resize, resize, fill]


def edit_json(document: Any, rng: random.Random) -> Any:
    """Change one to four places of a JSON document, wherever they are."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        places = list(_places(document))
        parent, key = rng.choice(places)
        _edit_place(parent, key, document, rng)
    return document


def _places(document: Any) -> Any:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _edit_place(parent: Any, key: Any, document: Any, rng: random.Random) -> None:
    value, kind = parent[key], rng.randrange(8)
    if key == "class_name" and rng.random() < 0.5:
        parent[key] = rng.choice(CLASSES)
    elif key == "module" and rng.random() < 0.5:
        parent[key] = rng.choice(MODULES)
    elif kind == 0:
        del parent[key]
    elif kind == 1:
        parent[key] = rng.choice(NUMBERS)
    elif kind == 2:
        parent[key] = rng.choice(TEXTS)
    elif kind == 3:
        parent[key] = rng.choice([None, True, [], {}, [[]], {"a": 1}])
    elif kind == 4:
        other, name = rng.choice(list(_places(document)))
        parent[key] = json.loads(json.dumps(other[name]))
    elif kind == 5 and isinstance(parent, list):
        parent.insert(key, value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        parent[key] = rng.choice([-value, value + 1, value * 1000, value / 3, float("nan")])
    else:
        parent[key] = [value]


def edit_message(message: Any, rng: random.Random) -> None:
    """Change one field of a protobuf message, at whatever depth: set, clear, repeat or drop it."""
    while True:
        fields = message.ListFields()
        if not fields:
            return
        field, value = rng.choice(fields)
        repeated = hasattr(value, "append") or hasattr(value, "add") or hasattr(value, "keys")
        if field.type == field.TYPE_MESSAGE and rng.random() < 0.9:
            if not repeated:
                message = value
                continue
            entries = (
                [value[key] for key in sorted(value)] if hasattr(value, "keys") else list(value)
            )
            entries = [each for each in entries if hasattr(each, "ListFields")]
            if entries:
                message = rng.choice(entries)
                continue
        _edit_field(message, field, value, repeated, rng)
        return


def _edit_field(message: Any, field: Any, value: Any, repeated: bool, rng: random.Random) -> None:
    if rng.random() < 0.2 or hasattr(value, "keys"):
        message.ClearField(field.name)
        return
    if repeated:
        if len(value) and rng.random() < 0.3:
            del value[rng.randrange(len(value))]
        elif field.type == field.TYPE_MESSAGE:
            value.add().CopyFrom(rng.choice(list(value)))
        else:
            old = rng.choice(list(value))
            value.append(_other(field, old, rng))
            if rng.random() < 0.5:
                value[rng.randrange(len(value))] = value.pop()
        return
    if field.type != field.TYPE_MESSAGE:
        setattr(message, field.name, _other(field, value, rng))


def _other(field: Any, value: Any, rng: random.Random) -> Any:
    """Return another value of a scalar field's type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return rng.choice([*TEXTS[:5], value + "x", value[1:], "MatMul", "Conv2D", "ReadFile"])
    if isinstance(value, bytes):
        return rng.choice(BYTES)(value or b"\0" * 16, rng)
    if isinstance(value, float):
        return rng.choice([0.0, -value, float("nan"), float("inf"), 1e30])
    small = field.type in (field.TYPE_INT32, field.TYPE_UINT32, field.TYPE_ENUM)
    top = 2**31 - 1 if small else 2**63 - 1
    choices = [0, 1, 2, value + 1, value - 1, top, top // 3, -1, -2]
    new = rng.choice(choices)
    return max(new, 0) if field.type in (field.TYPE_UINT32, field.TYPE_UINT64) else min(new, top)


def edit_table(table: Any, rng: random.Random) -> None:
    """Change one number or list of a flatbuffer's object tree, the subgraph's most of all."""
    part = table.subgraphs[0] if rng.random() < 0.7 else table
    while True:
        fields = {name: value for name, value in vars(part).items() if value is not None}
        name = rng.choice(sorted(fields))
        value = fields[name]
        if isinstance(value, list) and value and hasattr(value[0], "__dict__"):
            if rng.random() < 0.1:
                value.pop(rng.randrange(len(value)))
                return
            part = rng.choice(value)
        elif hasattr(value, "__dict__"):
            part = value
        elif hasattr(value, "__len__") and len(value) and not isinstance(value, (str, bytes)):
            numbers = list(value)
            place = rng.randrange(len(numbers))
            if isinstance(numbers[place], float):
                numbers[place] = rng.choice([0.0, float("nan"), 1e30])
            else:
                top = 255 if name == "data" else 2**31 - 1
                new = rng.choice([0, 1, 2, 7, int(numbers[place]) + 1, 1000, top, -1, -2])
                numbers[place] = max(new, 0) % (top + 1) if name == "data" else new
            if rng.random() < 0.2:
                numbers = numbers[: rng.randrange(len(numbers) + 1)]
            setattr(part, name, numbers)
            return
        elif isinstance(value, int) and not isinstance(value, bool):
            setattr(part, name, rng.choice([0, 1, 2, 3, 5, 9, 17, 25, 100, value + 1]))
            return
        else:
            return
