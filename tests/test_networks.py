"""Whole networks, trained ones and the same with random normalization: folded and proven."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from foldbn import export, verification
from foldbn.frontends.sniff import sniff
from foldbn.verification.reference import Evaluator
from tests import journeys
from tests.journeys import Journey

TRAINED = {
    "mlp_bn_after": (".h5", ".keras", "_savedmodel"),
    "mlp_bn_before": (".h5", ".keras", "_savedmodel"),
    "transfer": (".h5", ".keras", "_savedmodel"),
    "transfer_nested": (".h5",),
    "activations": (".h5",),
    "cnn_bn_before": (".h5",),
    "cnn_bn_after": (".h5",),
    "bn_axis_last": (".h5",),
    "bn_axis_1": (".h5",),
    "bn_no_scale": (".h5",),
    "bn_no_center": (".h5",),
}
AFFINE_LAYERS = {"activations": 7, "cnn_bn_before": 6, "cnn_bn_after": 5} | dict.fromkeys(
    ("mlp_bn_after", "mlp_bn_before", "transfer", "transfer_nested"), 3
)
AXIS_12 = "legacy/tf215/g_bn_axis12.savedmodel"


class Case(NamedTuple):
    """A network's file, and which folder it is in."""

    folder: str
    stem: str
    ending: str


CASES = [Case("networks", stem, e) for stem, endings in TRAINED.items() for e in endings]
CASES += [Case("randomised", stem, ".h5") for stem in TRAINED]
CASES += [Case("randomised", "mlp_bn_after", ending) for ending in (".keras", "_savedmodel")]
CASES += [Case("foreign_models", AXIS_12, "")]


def _only(**wanted: str):
    """Run a test on those networks alone that have the wanted folder or stem."""
    cases = [c for c in CASES if all(getattr(c, key) == value for key, value in wanted.items())]
    return pytest.mark.parametrize("network", cases, indirect=True, ids=_name)


def _name(case: Case) -> str:
    return f"{case.folder}-{case.stem}{case.ending}"


class Network(NamedTuple):
    """A network on its way, with the images it was made for where there are any."""

    case: Case
    journey: Journey
    references: list[verification.Reference]


@pytest.fixture(scope="module", params=CASES, ids=_name)
def network(request, samples) -> Network:
    """Load and fold one network, and evaluate it on generated inputs and on real images."""
    case = request.param
    path = request.getfixturevalue(case.folder) / f"{case.stem}{case.ending}"
    journey = journeys.of_file(path)
    original = journey.loaded.original
    references = [*journey.references(0), *journey.references(1)]
    if case.stem in TRAINED:
        (port,) = original.inputs
        images = samples["images"].reshape(-1, *port.shape[1:])
        references += verification.make_references(original, [{port.name: images}])
    return Network(case, journey, references)


def test_every_fixture_is_tested(networks):
    """The networks tested here are those that the folder holds, in all their formats."""
    there = {path.name for path in networks.iterdir()} - {"samples.npz"}
    assert there == {f"{stem}{ending}" for stem, endings in TRAINED.items() for ending in endings}


def test_format(network):
    """A network's format is told from its content."""
    endings = {".h5": "keras-h5", ".keras": "keras-zip", "_savedmodel": "savedmodel"}
    source = network.journey.loaded.source
    assert source.format == endings.get(network.case.ending, "savedmodel")
    assert len(source.sha256) == 64


def test_algebra(network):
    """The folded graph computes the same as the original in float64."""
    algebra = verification.check_algebra(network.references, network.journey.model)
    assert algebra.checked
    counts = [len(next(iter(each.samples.values()))) for each in network.references]
    assert algebra.samples == sum(counts) >= 128
    assert algebra.max_rel <= 1e-9


def test_every_layer_folds(network):
    """All normalization goes, but for that between padded convolutions and before max pooling."""
    case, decisions = network.case, network.journey.decisions
    assert len(decisions) == AFFINE_LAYERS.get(case.stem, 1)
    assert {decision.kind for decision in decisions.values()} == {"BatchNormalization"}
    kept = {layer for layer, decision in decisions.items() if decision.outcome != "folded"}
    assert kept == _expected_to_stay(case)


def _expected_to_stay(case: Case) -> set[str]:
    """Return the layers that mathematics keeps.

    In ``cnn_bn_after`` a shift stands before a convolution that pads with zeros, three times. A
    negative scale does not pass the max pooling that the fourth layer must cross; the fifth,
    between two dense layers, always folds.
    """
    if case.stem != "cnn_bn_after":
        return set()
    padded = {"batch_normalization", "batch_normalization_1", "batch_normalization_2"}
    return padded | ({"batch_normalization_3"} if case.folder == "randomised" else set())


def test_reasons(network):
    """A layer that stays says what stopped its map on either side."""
    for layer, decision in network.journey.decisions.items():
        if decision.outcome == "folded":
            assert decision.reason is None
            assert decision.into
            continue
        assert decision.outcome in ("kept", "lowered")
        assert "backward: at 'conv2d" in decision.reason
        assert "ReLU" in decision.reason
        forward = decision.reason.partition("forward: ")[2]
        pooled = layer in ("batch_normalization_1", "batch_normalization_3")
        if network.case.folder == "randomised" and pooled:
            assert "lets only scales >= 0 by" in forward
        else:
            assert "pads its input with zeros" in forward


def test_layer_names(network):
    """Decisions carry the names of the Keras layers, in every format."""
    if network.case.stem not in TRAINED:
        assert list(network.journey.decisions) == ["batch_normalization"]
        return
    count = AFFINE_LAYERS.get(network.case.stem, 1)
    names = ["batch_normalization", *(f"batch_normalization_{i}" for i in range(1, count))]
    assert sorted(network.journey.decisions) == names


def test_takers(network):
    """In a stack of dense layers each map goes to the layer that stands beside it."""
    expected = {
        "mlp_bn_after": [
            ("forward", "dense"),
            ("forward", "dense_1"),
            ("forward", "dense_2"),
        ],
        "mlp_bn_before": [("forward", "dense"), ("backward", "dense"), ("backward", "dense_1")],
        "transfer": [("forward", "dense"), ("forward", "dense_1"), ("forward", "head")],
        "transfer_nested": [("forward", "dense"), ("forward", "dense_1"), ("forward", "head")],
        "bn_axis_1": [("forward", "dense")],
        "bn_axis_last": [("forward", "dense")],
    }
    decisions = network.journey.folding.decisions
    found = [(decision.direction, *decision.into) for decision in decisions]
    assert found == expected.get(network.case.stem, found)


@_only(folder="networks")
def test_original_outputs(network, samples):
    """The frozen graph gives the outputs that Keras gave when the network was trained."""
    original = network.journey.loaded.original
    (inputs,), (outputs,) = original.inputs, original.outputs
    images = samples["images"].reshape(-1, *inputs.shape[1:])
    found = Evaluator(original)({inputs.name: images})[outputs.name]
    wanted = samples[network.case.stem]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_export(network, kind):
    """Each exported file rounds as well as the original does, on real and generated inputs."""
    content = export.export(network.journey.model, kind, None, export.DEFAULT_OPSET)
    verdict = verification.verify_artifact(network.references, content, f"model.{kind}")
    assert verdict.samples >= 128
    assert verdict.passed, verdict


def test_tflite_signature(network):
    """A TFLite file has one signature, under the model's own names."""
    from ai_edge_litert.interpreter import Interpreter

    model = network.journey.model
    content = export.export(model, "tflite", None, export.DEFAULT_OPSET)
    signatures = Interpreter(model_content=content).get_signature_list()
    names = {
        kind: [port.name for port in ports]
        for kind, ports in (("inputs", model.inputs), ("outputs", model.outputs))
    }
    assert signatures == {"serving_default": names}


@_only(stem="mlp_bn_after")
def test_onnx_of_mlp_bn_after(network):
    """Nothing of the normalization is left between three matrix products and their biases."""
    counted = export.statistics_of(export.export(network.journey.model, "onnx", None, 18)).ops
    assert "Mul" not in counted
    assert "BatchNormalization" not in counted
    assert "Sub" not in counted
    assert counted.get("Add", 0) + counted.get("Gemm", 0) == 3
    assert counted.get("MatMul", 0) + counted.get("Gemm", 0) == 3


@_only(stem="mlp_bn_after")
def test_tflite_of_mlp_bn_after(network):
    """TFLite has one fully connected op for each dense layer, with bias and activation in it."""
    counted = export.statistics_of(export.export(network.journey.model, "tflite", None, 18)).ops
    assert counted == {"FULLY_CONNECTED": 3, "RESHAPE": 1, "SOFTMAX": 1}


@_only(stem="mlp_bn_after")
def test_nothing_is_rounded_before_it_is_folded(network):
    """Weights that folding makes are kept in float64 beside the float32 that is exported."""
    kernels = {k: v for k, v in network.journey.model.values.items() if k.endswith("/kernel")}
    assert kernels
    assert all(value.dtype == np.float64 for value in kernels.values())
    assert any((value != value.astype(np.float32)).any() for value in kernels.values())


def test_sniff_agrees(networks):
    """Sniffing alone, without a framework, already tells every fixture's format."""
    assert sniff(networks / "mlp_bn_after.h5") == "keras-h5"
    assert sniff(networks / "mlp_bn_after.keras") == "keras-zip"
    assert sniff(networks / "mlp_bn_after_savedmodel") == "savedmodel"
