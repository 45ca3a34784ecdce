"""Results for people and for programs: text for a terminal, and the documents of ``--json``."""

from foldbn.report.documents import document, error_document
from foldbn.report.terminal import render
from foldbn.report.wording import printable, printable_line

__all__ = ["document", "error_document", "printable", "printable_line", "render"]
