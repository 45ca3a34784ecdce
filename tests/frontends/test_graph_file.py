"""A frozen graph of TensorFlow 1 is read once its inputs and outputs are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.cli import main
from foldbn.errors import Unreadable, Unsafe, Unsupported, UsageError
from foldbn.frontends import loading
from foldbn.frontends.graph_file import Ports
from foldbn.verification.reference import Evaluator
from tests.frontends.old_graphs import GRAPHS, save

PORTS = Ports(("features",), ("scores",))


def _write(path: Path, build: Callable[[Any], Any]) -> Path:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        build(tf.compat.v1)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture
def frozen(tmp_path) -> tuple[Path, Any]:
    """Return the file of a frozen graph, with its learning phase in it, and what it computes."""
    import tensorflow as tf

    saved = save(GRAPHS["dense"], tmp_path / "m")
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.loader.load(session, ["serve"], str(saved.path))
        graph_def = session.graph.as_graph_def()
        whole = v1.graph_util.convert_variables_to_constants(
            session, graph_def, _outputs(saved.path)
        )
    path = tmp_path / "frozen.pb"
    path.write_bytes(whole.SerializeToString())
    return path, saved


def _outputs(path: Path) -> list[str]:
    from foldbn.frontends import safety

    signature = safety.read_checked(path).meta_graphs[0].signature_def["serving_default"]
    return [port.name.partition(":")[0] for port in signature.outputs.values()]


def test_converted(frozen, tmp_path):
    """It is folded, proven and exported, under the names that were given."""
    path, saved = frozen
    (output,) = _outputs(saved.path)
    result = foldbn.convert(
        path, inputs=["features"], outputs=[output], output_dir=tmp_path / "out", bench=False
    )
    assert result.source.format == "frozen-graph"
    assert all(artifact.verification.passed for artifact in result.artifacts)
    assert result.summary.folded == 1
    model = loading.load(path, ports=Ports(("features:0",), (output,))).original
    assert [port.name for port in (*model.inputs, *model.outputs)] == ["features", output]
    found = Evaluator(model)(saved.samples)[output]
    np.testing.assert_allclose(found, saved.outputs["scores"], rtol=1e-5, atol=1e-5)


def test_without_names(frozen):
    """Without names it says what they could be."""
    path, saved = frozen
    with pytest.raises(Unsupported, match="does not say what its inputs and outputs are") as caught:
        foldbn.inspect(path)
    assert "placeholders 'features'" in caught.value.hint
    assert repr(_outputs(saved.path)[0]) in caught.value.hint


def test_at_the_terminal(frozen, capfd):
    """The command takes the names with commas between them."""
    path, saved = frozen
    (output,) = _outputs(saved.path)
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(path), "--inputs", "features", "--outputs", output, "-q"])
    assert not caught.value.code
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(path), "--inputs", "a,,b", "--outputs", output])
    assert caught.value.code == 2
    assert "empty name" in capfd.readouterr().err


def test_wrong_names(frozen):
    """A name that is no node, or an output that a node lacks, is told."""
    path, saved = frozen
    (output,) = _outputs(saved.path)
    with pytest.raises(UsageError, match=r"no node 'nothing' \(--inputs\)") as caught:
        foldbn.inspect(path, inputs=["nothing"], outputs=[output])
    assert "'features'" in caught.value.hint
    with pytest.raises(UsageError, match=":7"):
        foldbn.inspect(path, inputs=["features"], outputs=[f"{output}:7"])


def test_types_are_inferred(tmp_path):
    """An output that is no float has the type that its op gives it."""

    def build(v1: Any) -> None:
        x = v1.placeholder("float32", [None, 3], name="x")
        v1.argmax(x * v1.constant([1.0, 2.0, 3.0]), 1, name="best", output_type="int32")

    path = _write(tmp_path / "g.pb", build)
    model = loading.load(path, ports=Ports(("x",), ("best",))).original
    assert model.outputs[0].dtype == "int32"


def test_names_for_another_format(networks):
    """A model that names its own inputs takes no names."""
    with pytest.raises(UsageError, match="names its inputs and outputs itself"):
        foldbn.inspect(networks / "bn_axis_1.h5", inputs=["x"], outputs=["y"])


def test_graph_that_is_not_frozen(tmp_path):
    """A graph with variables lacks their values, and says so."""

    def build(v1: Any) -> None:
        x = v1.placeholder("float32", [None, 3], name="x")
        v1.matmul(x, v1.get_variable("w", [3, 2], use_resource=False), name="y")

    path = _write(tmp_path / "g.pb", build)
    with pytest.raises(Unsupported, match="holds the variable 'w' without its value"):
        loading.load(path, ports=Ports(("x",), ("y",)))


def test_unsafe(tmp_path):
    """The list of harmless ops holds here as well."""
    import tensorflow as tf

    def build(v1: Any) -> None:
        x = v1.placeholder("float32", [None, 3], name="x")
        length = v1.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), "float32")
        v1.add(x, length, name="y")

    path = _write(tmp_path / "g.pb", build)
    with pytest.raises(Unsafe, match="ReadFile"):
        loading.load(path, ports=Ports(("x",), ("y",)))


def test_cut_short(tmp_path):
    """A graph that is cut short is no graph."""
    path = _write(tmp_path / "g.pb", lambda v1: v1.placeholder("float32", [None, 3], name="x"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Unreadable):
        loading.load(path, ports=Ports(("x",), ("x",)))


def test_signatures_of_other_files(networks):
    """A file without signatures takes no name of one."""
    with pytest.raises(UsageError, match="has no signatures, and none is called 'x'"):
        foldbn.inspect(networks / "bn_axis_1.h5", signature="x")
