"""The reading end of the pipe over which a worker answers."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import msgspec

from foldbn.worker.protocol import Message

_CHUNK = 2**16  # bytes


class Answers:
    """What a worker says, message by message.

    Attributes:
        descriptor: of the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._begun = b""

    def wait(self, seconds: float) -> Generator[Message, None, None]:
        """Yield messages as they come, until the worker ends.

        A signal that comes just before this process begins to wait does not wake it, so its
        number is also written to a pipe that is waited for.

        Args:
            seconds: how long to wait for all of them; 0 is for ever.

        Raises:
            TimeoutError: it took longer.
        """
        end = time.monotonic() + seconds
        with _signals() as woken, selectors.DefaultSelector() as selector:
            for descriptor in (self.descriptor, woken):
                selector.register(descriptor, selectors.EVENT_READ)
            while True:
                left = max(end - time.monotonic(), 0) if seconds else None
                ready = {key.fd for key, _ in selector.select(left)}
                if woken in ready:
                    os.read(woken, _CHUNK)
                if self.descriptor in ready:
                    if not (chunk := os.read(self.descriptor, _CHUNK)):
                        return
                    yield from self._messages(chunk)
                if seconds and time.monotonic() > end:
                    raise TimeoutError

    def rest(self) -> Iterator[Message]:
        """Yield what a worker that has ended had still said."""
        os.set_blocking(self.descriptor, False)
        try:
            while chunk := os.read(self.descriptor, _CHUNK):
                yield from self._messages(chunk)
        except BlockingIOError:
            return

    def _messages(self, chunk: bytes) -> Iterator[Message]:
        *lines, self._begun = (self._begun + chunk).split(b"\n")
        for line in lines:
            yield msgspec.json.decode(line, type=Message)


@contextmanager
def _signals() -> Iterator[int]:
    """Give a descriptor that can be read once a signal has come."""
    woken, wake = os.pipe()
    for descriptor in (woken, wake):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield woken
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wake)
