"""Numbers and names as a person reads them."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text from a file with nothing in it that a terminal or a CI log would obey.

    Control characters come out as escapes, and so does ``::``, which begins a command in the
    logs of GitHub Actions.
    """
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escaped.replace("::", ":\\x3a")


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
