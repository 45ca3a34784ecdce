"""A graph before and after the passes: the same numbers.

They are whole, so that a sum has the same bits in every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

from foldbn.export.onnx_passes import tidy

LENGTHS = {"N": 2}
_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(double)": np.float64}


def parse(text: str, weights: dict[str, Any], opset: int = 18) -> Any:
    """Return the model of `text`; a weight is an array, or the shape of one of whole numbers."""
    header = f'<ir_version: 8, opset_import: ["": {opset}]> g '
    proto = onnx.parser.parse_model(header + text)
    rng = np.random.default_rng(0)
    for name, given in weights.items():
        drawn = isinstance(given, tuple)
        value = rng.integers(-3, 4, given).astype(np.float32) if drawn else np.asarray(given)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def run(proto: Any) -> list[Any]:
    """Return the outputs of an onnxruntime session for whole numbers."""
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(1)
    feeds = {}
    for port in session.get_inputs():
        shape = [LENGTHS.get(length, length) for length in port.shape]
        kind = _TYPES.get(port.type, np.float32)
        feeds[port.name] = rng.integers(-4, 5, shape).astype(kind)
    return session.run(None, feeds)


def tidied(text: str, weights: dict[str, Any], opset: int = 18) -> list[str]:
    """Return the op types after tidying, having seen that the numbers are the same."""
    proto = parse(text, weights, opset)
    before = run(proto)
    tidy(proto, ())
    onnx.checker.check_model(proto, full_check=True)
    after = run(proto)
    assert len(before) == len(after) > 0
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    return [node.op_type for node in proto.graph.node]
