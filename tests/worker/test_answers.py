"""Messages of a worker, and what may come in between."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from foldbn.worker.answers import Answers


@pytest.fixture
def pipe():
    """Return the two ends of a pipe; a test may have closed the second."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(os.dup(writer), "wb", closefd=False):
        yield reader, writer


def test_messages_in_pieces(pipe):
    """Messages are put together from whatever pieces come."""
    reader, writer = pipe
    answers = Answers(reader)
    os.write(writer, b'{"event":"phase","detail":"load"}\n{"event":"pha')
    messages = answers.wait(0)
    assert next(messages).detail == "load"
    os.write(writer, b'se","detail":"fold"}\n{"event":"made"')
    assert next(messages).detail == "fold"
    messages.close()
    os.write(writer, b',"detail":"x"}\n')
    assert [message.event for message in answers.rest()] == ["made"]


def test_too_late(pipe):
    """Who has waited long enough is told so."""
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        list(Answers(pipe[0]).wait(0.2))
    assert 0.1 < time.monotonic() - start < 10


class Caught(BaseException):
    """Raised by a signal."""


def test_a_signal_that_another_thread_gets(pipe):
    """A signal ends the waiting though it did not interrupt this thread's system call."""

    def raise_caught(_number: int, _frame: object) -> None:
        raise Caught

    def send() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_caught)
    thread, start = threading.Thread(target=send), time.monotonic()
    try:
        thread.start()
        with pytest.raises(Caught):
            list(Answers(pipe[0]).wait(30))
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - start < 15
