"""Numbers and names as a person reads them."""

from __future__ import annotations

import re

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# Python's own places in a traceback look like tags.
_TAG_IN_LOG = re.compile(
    _TAG.pattern + r"(?!(?:module|lambda|locals|string|stdin|genexpr)>|frozen )"
)


def printable(text: str) -> str:
    """Return text from a file with nothing in it that a terminal, a CI log or a page would obey.

    Control characters come out as escapes, those among them that turn the direction of writing
    and those that no one sees. So do the beginnings of commands in the logs of GitHub Actions
    and Azure Pipelines (``::``, ``##[``, ``##vso[``), and of tags in HTML.
    """
    escaped = _without_controls(text).replace("::", ":\\x3a").replace("##", "#\\x23")
    return _TAG.sub(r"\\x3c", escaped)


def printable_line(text: str) -> str:
    """Return a line of a log, by whatever program, that a terminal can show.

    Only at the beginning of a line is ``::`` a command, and in C++ it stands everywhere.
    """
    line = "\t".join(map(_without_controls, text.split("\t"))).replace("##", "#\\x23")
    line = _TAG_IN_LOG.sub(r"\\x3c", line)
    start = line.lstrip()
    return line.replace("::", ":\\x3a", 1) if start.startswith("::") else line


def _without_controls(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(count: int | None) -> str:
    """Return a number of bytes in kB or MB, of 1,000 and 1,000,000 bytes."""
    if count is None:
        return "-"
    if count < 1_000_000:
        return f"{count / 1_000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB"


def number(value: float | None) -> str:
    """Return a distance; None stands for one that is no number."""
    return "NaN or infinity" if value is None else f"{value:.1e}"


def count(value: int | None) -> str:
    """Return a whole number with separators."""
    return "-" if value is None else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Return a count and its noun: ``1 layer``, ``2 layers``."""
    return f"{value} {noun}{'' if value == 1 else 's'}"
