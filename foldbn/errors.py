"""Every way foldbn can end badly: a stable id, an exit code, a fact and a hint."""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class FoldbnError(Exception):
    """A failure that the user can understand and act on.

    Attributes:
        id: stable name of the kind of failure, like ``FBN021``.
        exit_code: what the `foldbn` command returns for it.
        message: one fact, with its number or name.
        hint: what to do about it; may be empty.
    """

    id = "FBN070"
    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @classmethod
    def of(cls, id_: str, exit_code: int, message: str, hint: str) -> FoldbnError:
        """Rebuild an error that crossed a process boundary from its parts."""
        known = {kind.id: kind for kind in _kinds(cls)}
        error = known.get(id_, FoldbnError)(message, hint)
        error.exit_code = exit_code
        return error


def said(error: BaseException) -> str:
    """Return the gist of what a library raised, in one line of at most 300 characters."""
    return all_said(error)[:300]


def all_said(error: BaseException) -> str:
    """Return what a library raised, in one line."""
    # Keras writes in colours, and lists every argument of the call that failed.
    text = _COLOURS.sub("", str(error)).partition("Arguments received by")[0]
    return " ".join(text.split())


def _kinds(base: type[FoldbnError]) -> list[type[FoldbnError]]:
    return [base, *(kind for child in base.__subclasses__() for kind in _kinds(child))]


class UsageError(FoldbnError):
    """The command or call contradicts itself or its surroundings."""

    id, exit_code = "FBN010", 2


class OutputExists(UsageError):
    """An artefact would replace a file that is already there."""

    id = "FBN011"


class OutputIsInput(UsageError):
    """An artefact would replace the model it is made from."""

    id = "FBN012"


class VerificationFailed(FoldbnError):
    """Outputs differ by more than the proof allows."""

    id, exit_code = "FBN021", 1


class TooSlow(FoldbnError):
    """The measured speedup is below the one asked for."""

    id, exit_code = "FBN022", 1


class Unreadable(FoldbnError):
    """The input is no model that foldbn knows, or it is damaged."""

    id, exit_code = "FBN031", 3


class Unsafe(FoldbnError):
    """Loading the input would run code or touch files it names."""

    id, exit_code = "FBN032", 3


class Unsupported(FoldbnError):
    """The input is a model, but one that foldbn cannot handle."""

    id, exit_code = "FBN033", 3


class BadWeights(FoldbnError):
    """A layer holds NaN, infinity, or a variance that has no square root."""

    id, exit_code = "FBN034", 3


class BadSamples(FoldbnError):
    """The samples do not fit the model's inputs."""

    id, exit_code = "FBN035", 3


class ConversionFailed(FoldbnError):
    """An exporter could not write the model."""

    id, exit_code = "FBN041", 4


class ProviderMissing(FoldbnError):
    """An execution provider was asked for that is not there."""

    id, exit_code = "FBN042", 4


class RuntimeFailed(FoldbnError):
    """onnxruntime or LiteRT could not load or run an artefact."""

    id, exit_code = "FBN043", 4


class WriteFailed(FoldbnError):
    """An artefact could not be written."""

    id, exit_code = "FBN044", 4


class ReportLost(WriteFailed):
    """The work is done, and its report cannot be written to standard output."""

    id = "FBN048"


class WorkerDied(FoldbnError):
    """The process that does the heavy work ended before its answer."""

    id, exit_code = "FBN045", 4


class OutOfMemory(WorkerDied):
    """The process that does the heavy work needed more memory than it may take."""

    id = "FBN046"


class TimedOut(WorkerDied):
    """The process that does the heavy work took more time than it may take."""

    id = "FBN047"


class NotFolded(FoldbnError):
    """An affine layer stayed although every one was required to go."""

    id, exit_code = "FBN051", 5


class Interrupted(FoldbnError):
    """The user pressed Ctrl-C."""

    id, exit_code = "FBN130", 130


class Terminated(FoldbnError):
    """Somebody ended the command by a signal."""

    id, exit_code = "FBN143", 143
