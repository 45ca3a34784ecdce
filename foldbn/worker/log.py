"""What a worker prints: its end is kept in memory, and all of it in a file if one is asked for.

It comes through a pipe, so that a full disk is never the worker's trouble, and names from a
model's file are escaped before they can reach a terminal.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_KEPT = 2**16  # bytes
_PATIENCE = 5  # seconds for the last words of a worker that has ended


class Log:
    """The reading end of the pipe.

    Attributes:
        descriptor: the writing end, for the worker.
        end: the last bytes that were printed.
    """

    def __init__(self, path: Path | None) -> None:
        self.end = b""
        self._source, self.descriptor = os.pipe()
        self._file: IO[str] | None = None if path is None else path.open("a", encoding="utf-8")
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Begin to read: the worker has its own copy of the writing end now."""
        os.close(self.descriptor)
        self.descriptor = -1
        self._thread.start()

    def finish(self) -> None:
        """Read what is left of a worker that has ended."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        elif self._thread.ident is not None:
            self._thread.join(_PATIENCE)

    def _read(self) -> None:
        from foldbn.report import printable_line

        with os.fdopen(self._source, "rb") as source:
            for line in source:
                self.end = (self.end + line)[-_KEPT:]
                if self._file is not None:
                    text = printable_line(line.decode(errors="backslashreplace").rstrip("\r\n"))
                    with suppress(OSError):  # a full disk: there are worse losses than a log
                        self._file.write(text + "\n")
                        self._file.flush()


@contextmanager
def read_log(path: Path | None) -> Iterator[Log]:
    """Give a log to which a worker can print; it is read to its end when the block ends."""
    log = Log(path)
    try:
        yield log
    finally:
        log.finish()
