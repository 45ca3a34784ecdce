"""What command and worker say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from foldbn.latencies import Benchmark
from foldbn.results import Conversion, Inspection, Verification

Result = Benchmark | Conversion | Inspection | Verification


@dataclass(frozen=True)
class Command:
    """One of the public functions: its name, and the type of what it returns."""

    function: str
    result: type[Result]


COMMANDS = {
    "convert": Command("convert", Conversion),
    "inspect": Command("inspect", Inspection),
    "verify": Command("verify", Verification),
    "bench": Command("bench", Benchmark),
}


class Job(msgspec.Struct):
    """What the worker is to do: a command, its keyword arguments, and the bytes it may take."""

    command: str
    arguments: dict[str, Any]
    memory: int


class Failure(msgspec.Struct):
    """An error on its way to the command's process."""

    id: str
    exit_code: int
    message: str
    hint: str
    trace: str


class Message(msgspec.Struct, omit_defaults=True):
    """One line from the worker: an event, or the end as a result or a failure."""

    event: str = ""
    detail: str = ""
    result: msgspec.Raw = msgspec.Raw()
    failure: Failure | None = None
