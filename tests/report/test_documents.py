"""The documents of ``--json`` are strict, and nothing in them is obeyed by who only shows them."""

from __future__ import annotations

import json

import pytest

from foldbn.errors import Unsupported
from foldbn.report import document, error_document
from foldbn.results import Decision, Inspection, Source, Summary

NAMES = [
    "\x1b[31mred",
    "\x9b31m\x7f",
    "::error::x",
    "##[error]x",
    "##vso[x]",
    "<script>alert('&')</script>",
    "\u202egnp.exe\u2069",
    "\u200b\ufeff\u2028\U000e0001",
    'a\nb\\"c',
    "é 中 😀",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_document_is_escaped_and_means_the_same(name):
    """Who parses a document gets the very name; who prints it, nothing that acts."""
    decision = Decision(layer=name, kind="Affine", outcome="kept", reason=name)
    text = document(Inspection(Source(name, "keras-h5", ""), Summary(1, 0, 0, 0, 1), (decision,)))
    parsed = json.loads(text)
    assert parsed["decisions"][0]["layer"] == parsed["source"]["path"] == name
    assert text.replace("\n", "").isprintable()
    assert not {"::", "##", "<", ">", "&"} & {
        text[i : i + n] for n in (1, 2) for i in range(len(text))
    }


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_error_document(name):
    """The same holds for errors."""
    text = error_document(Unsupported(name, name))
    assert json.loads(text)["error"]["message"] == json.loads(text)["error"]["hint"] == name
    assert text.replace("\n", "").isprintable()
