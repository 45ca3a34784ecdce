"""Text from a file has nothing in it that a terminal, a CI log or a page would obey."""

from __future__ import annotations

import pytest

from foldbn.report import printable, printable_line

PLAIN = ["dense_1", "block/conv é 中", "a < b, scales >= 0", "C:\\x", "x:y", "[bold]", "100 % #1"]
ESCAPED = {
    "\x1b[31mred": "\\x1b[31mred",
    "a\nb\tc\r": "a\\nb\\tc\\r",
    "\x00\x7f": "\\x00\\x7f",
    "\x9b31m": "\\x9b31m",
    "\u202egnp.exe": "\\u202egnp.exe",
    "\u2066x\u2069": "\\u2066x\\u2069",
    "zero\u200bwidth\ufeff": "zero\\u200bwidth\\ufeff",
    "line\u2028separator": "line\\u2028separator",
    "\ud800": "\\ud800",
    "::error::x": ":\\x3aerror:\\x3ax",
    ":::": ":\\x3a:",
    "##[error]x": "#\\x23[error]x",
    "##vso[task.setvariable]x": "#\\x23vso[task.setvariable]x",
    "<script>alert(1)</script>": "\\x3cscript>alert(1)\\x3c/script>",
    "<!--": "\\x3c!--",
}


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_stays(text):
    """What is harmless is told as it is."""
    assert printable(text) == text
    assert printable_line(text) == text


@pytest.mark.parametrize(("text", "told"), ESCAPED.items(), ids=ascii)
def test_printable(text, told):
    """Controls, invisible marks, commands and tags come out as escapes."""
    assert printable(text) == told
    assert printable(text).isprintable()


def test_line_of_a_log():
    """Of a log's line tabs and colons within stay; what a terminal or a runner obeys does not."""
    assert printable_line("\tstd::bad_alloc: x") == "\tstd::bad_alloc: x"
    assert printable_line('File "x", line 1, in <module>') == 'File "x", line 1, in <module>'
    assert printable_line("<script>") == "\\x3cscript>"
    assert printable_line("  ::error::x") == "  :\\x3aerror::x"
    assert printable_line("x ##[error]y\x1b[0m") == "x #\\x23[error]y\\x1b[0m"
