"""Provider names, and the refusal of those that are not there."""

import onnxruntime
import pytest

from foldbn.benchmark import providers
from foldbn.errors import ProviderMissing, UsageError

AVAILABLE = onnxruntime.get_available_providers()


def absent():
    """Return a provider that this onnxruntime was not built with."""
    return next(name for name in providers.SHORT_NAMES.values() if name not in AVAILABLE)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("cpu", "CPUExecutionProvider"),
        ("CUDA", "CUDAExecutionProvider"),
        (" TensorRT ", "TensorrtExecutionProvider"),
        ("openvino", "OpenVINOExecutionProvider"),
        ("CPUExecutionProvider", "CPUExecutionProvider"),
        ("cudaexecutionprovider", "CUDAExecutionProvider"),
    ],
)
def test_names_are_understood_in_any_case(name, full):
    """Short and full names, in any case, become onnxruntime's spelling."""
    assert providers.full_name(name) == full


def test_every_short_name_is_one_of_onnxruntimes():
    """Each name that this onnxruntime lists and a short name means is spelled its way."""
    listed = {name.lower(): name for name in onnxruntime.get_all_providers()}
    for full in providers.SHORT_NAMES.values():
        assert listed.get(full.lower(), full) == full


def test_an_unknown_name_lists_what_there_is():
    """A name that no provider has is refused with the names that would do."""
    with pytest.raises(UsageError, match=r"'abacus'.*no execution provider") as caught:
        providers.resolve(["cpu", "abacus"])
    assert caught.value.exit_code == 2
    assert "openvino" in caught.value.hint
    assert "JsExecutionProvider" in caught.value.hint


def test_every_name_of_onnxruntime_is_known():
    """A provider that onnxruntime has a name for is missing here at most, never a mistake."""
    for name in set(onnxruntime.get_all_providers()) - set(AVAILABLE):
        with pytest.raises(ProviderMissing) as caught:
            providers.resolve([name.upper()])
        assert caught.value.exit_code == 4


def test_an_absent_provider_says_what_there_is_and_what_to_install():
    """A provider of another build of onnxruntime is refused, not replaced by the CPU."""
    name = absent()
    with pytest.raises(ProviderMissing, match=rf"{name} is not in this .*CPUExecution") as caught:
        providers.resolve([name])
    assert "install" in caught.value.hint


def test_a_provider_that_runs_elsewhere_is_absent():
    """Azure's provider is in every wheel and computes nothing here."""
    with pytest.raises(ProviderMissing, match="AzureExecutionProvider computes on other machines"):
        providers.resolve(["AzureExecutionProvider"])


def test_repetition_is_dropped_and_order_kept():
    """Two spellings of one provider give one."""
    assert providers.resolve(["cpu", "CPUExecutionProvider"]) == ("CPUExecutionProvider",)


def test_the_default_is_what_runs_here():
    """Without names there is the CPU first, and CUDA only where a session keeps it."""
    resolved = providers.resolve([])
    assert resolved[0] == "CPUExecutionProvider"
    assert set(resolved[1:]) <= {"CUDAExecutionProvider"} & set(AVAILABLE)


def test_the_probe_runs_on_the_cpu():
    """The one-node session that probes a provider is a model onnxruntime accepts."""
    assert providers._starts("CPUExecutionProvider")


def test_tensorrt_leaves_its_rest_to_cuda():
    """Nodes that TensorRT refuses go to CUDA before the CPU."""
    assert [name[:4] for name in providers.ladder("TensorrtExecutionProvider")] == [
        "Tens",
        "CUDA",
        "CPUE",
    ]
