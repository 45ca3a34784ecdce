"""Names of onnxruntime's execution providers, and which of them really run here.

onnxruntime falls back to the CPU without an exception, so a provider counts as there only
once a session that asked for it names it first in ``get_providers()``.
"""

from __future__ import annotations

import io
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING

from foldbn.errors import ProviderMissing, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

# Providers with a memory of their own, by the name that onnxruntime has for it.
DEVICES = {CUDA: "cuda", TENSORRT: "cuda"}

SHORT_NAMES = {
    "acl": "ACLExecutionProvider",
    "armnn": "ArmNNExecutionProvider",
    "cann": "CANNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": CPU,
    "cuda": CUDA,
    "directml": "DmlExecutionProvider",
    "dml": "DmlExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "rknpu": "RknpuExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "tensorrt": TENSORRT,
    "trt": TENSORRT,
    "vitisai": "VitisAIExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}

# Both are one package to Python: the build that was installed last is the one that runs.
_GPU = "pip install 'foldbn[gpu]', then pip install --force-reinstall --no-deps onnxruntime-gpu"
_PACKAGES = {
    CUDA: _GPU,
    TENSORRT: f"{_GPU}; TensorRT is an installation of its own",
    "OpenVINOExecutionProvider": "pip install onnxruntime-openvino in place of onnxruntime",
    "DmlExecutionProvider": "pip install onnxruntime-directml in place of onnxruntime",
    "ROCMExecutionProvider": "pip install onnxruntime-rocm in place of onnxruntime",
    "MIGraphXExecutionProvider": "pip install onnxruntime-migraphx in place of onnxruntime",
    "QNNExecutionProvider": "pip install onnxruntime-qnn in place of onnxruntime",
}
_BUILD = "install an onnxruntime that was built with it"

# The Azure provider is in every wheel and computes nothing on this machine.
_REMOTE = frozenset({"AzureExecutionProvider"})


def resolve(names: Sequence[str]) -> tuple[str, ...]:
    """Turn the user's provider names into onnxruntime's, each one known to run here.

    Args:
        names: short names (``cpu``, ``cuda``) or full ones, in any case. Empty means the
            CPU, and CUDA where it really is there.

    Returns:
        Full names without repetition, in the order given.

    Raises:
        UsageError: a name is no provider's.
        ProviderMissing: a provider is not in this onnxruntime, or does not start.
    """
    if not names:
        return (CPU, CUDA) if _starts(CUDA) else (CPU,)
    full = tuple(dict.fromkeys(full_name(name) for name in names))
    for name in full:
        check(name)
    return full


def full_name(name: str) -> str:
    """Return onnxruntime's spelling of `name`.

    Raises:
        UsageError: neither foldbn nor this onnxruntime knows it.
    """
    import onnxruntime

    full = sorted({*SHORT_NAMES.values(), *onnxruntime.get_all_providers()})
    spelled: dict[str, str] = {known.lower(): known for known in full}
    folded = name.strip().lower()
    if folded in SHORT_NAMES:
        return SHORT_NAMES[folded]
    if folded in spelled:
        return spelled[folded]
    rest = [known for known in full if known not in SHORT_NAMES.values()]
    raise UsageError(
        f"{name!r} is no execution provider of onnxruntime",
        f"known are {', '.join((*sorted(SHORT_NAMES), *rest))}; this onnxruntime has"
        f" {', '.join(available())}",
    )


def available() -> tuple[str, ...]:
    """List the providers that this onnxruntime was built with and that compute here."""
    import onnxruntime

    return tuple(name for name in onnxruntime.get_available_providers() if name not in _REMOTE)


def check(name: str) -> None:
    """Raise unless a session really runs on the provider with the full name `name`.

    Raises:
        ProviderMissing: it is not in this onnxruntime, or sessions fall back from it.
    """
    check_built(name)
    if name != CPU and not _starts(name):
        raise did_not_start(name)


def check_built(name: str) -> None:
    """Raise unless this onnxruntime holds the provider with the full name `name`.

    Raises:
        ProviderMissing: it does not.
    """
    if name in _REMOTE:
        raise ProviderMissing(
            f"{name} computes on other machines", f"this one has {', '.join(available())}"
        )
    if name not in available():
        raise ProviderMissing(
            f"{name} is not in this onnxruntime; it has {', '.join(available())}",
            _PACKAGES.get(name, _BUILD),
        )


def did_not_start(name: str) -> ProviderMissing:
    """Make the error for a provider that is installed but that sessions fall back from."""
    return ProviderMissing(
        f"{name} is in this onnxruntime but does not start on this machine",
        "it needs its device and the vendor's libraries: " + _PACKAGES.get(name, _BUILD),
    )


@cache
def find_libraries(name: str) -> None:
    """Let a provider find CUDA and cuDNN where pip has put them: where no loader looks.

    Where pip has none, the loader looks for the system's as ever.

    Args:
        name: of the provider, in full; most need nothing.
    """
    import onnxruntime

    if name in DEVICES and name in available() and hasattr(onnxruntime, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()


def ladder(name: str) -> list[str]:
    """List `name` and what may take the nodes it refuses, in onnxruntime's order."""
    helpers = [CUDA] if name == TENSORRT else []
    return [name, *helpers, *([CPU] if name != CPU else [])]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep onnxruntime's default logger silent; it prints library failures to stderr.

    Sessions have a level of their own. The logger has no getter, so afterwards its level is
    onnxruntime's default, 2 (warning).
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


def _starts(name: str) -> bool:
    """Open a one-node session on `name` and look whether onnxruntime kept it."""
    if name not in available():
        return False
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    find_libraries(name)
    with quiet():
        try:
            session = onnxruntime.InferenceSession(
                _one_node(), options, providers=ladder(name), enable_fallback=0
            )
        # A missing driver surfaces as RuntimeError, ValueError or one of onnxruntime's own
        # classes, which derive from Exception directly; each means "does not start".
        except Exception:  # noqa: BLE001
            return False
    return bool(session.get_providers()[0] == name)


def _one_node() -> bytes:
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", [x], [y])
    # IR 8 and opset 13 are read by every onnxruntime since 1.10; onnx's own defaults are
    # often newer than the runtime installed beside it.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())
