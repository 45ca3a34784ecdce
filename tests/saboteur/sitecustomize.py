"""Imported at the start of every Python with this folder on its path: kills at a chosen step.

``FOLDBN_TEST_KILL=os.rename:3:parent:9``: when a worker of foldbn comes to its third renaming in
a hidden folder, signal 9 goes to its parent. ``self`` is the worker. The event is one of those
that Python audits, so the step is the same on every run and nothing of foldbn is replaced.
"""

import os
import sys
import time


def _watch(event: str, count: int, process: int, number: int) -> None:
    seen = 0

    def hook(name: str, arguments: tuple) -> None:
        nonlocal seen
        if name == event and "/.foldbn-" in str(arguments[0]):
            seen += 1
            if seen == count:
                os.kill(process, number)
                time.sleep(60)  # the parent ends this process

    sys.addaudithook(hook)


if "FOLDBN_TEST_KILL" in os.environ and "foldbn.worker" in sys.orig_argv:
    _event, _count, _who, _number = os.environ["FOLDBN_TEST_KILL"].split(":")
    _process = os.getppid() if _who == "parent" else os.getpid()
    _watch(_event, int(_count), _process, int(_number))
