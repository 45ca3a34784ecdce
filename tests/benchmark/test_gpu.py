"""Timing on a real GPU, where there is one with onnxruntime-gpu; the CPU's part runs anywhere."""

import numpy as np
import pytest

from foldbn import benchmark
from foldbn.benchmark import bench_files, providers
from foldbn.benchmark.onnx_session import OnnxRunner
from tests.benchmark.tiny import CPU, write_onnx

CUDA = providers.CUDA


def test_a_memory_of_its_own_is_timed_both_ways():
    """A GPU gets one row without copies and one with them, the CPU one of neither."""
    assert benchmark._ways((CPU, CUDA)) == ((CPU, None), (CUDA, False), (CUDA, True))


@pytest.fixture(scope="module")
def gpu():
    """Skip where CUDA does not start."""
    if not providers._starts(CUDA):
        pytest.skip("no GPU that this onnxruntime can use")


@pytest.mark.usefixtures("gpu")
def test_rows_of_a_gpu(tmp_path):
    """The default times on the CPU and, with and without copies, on the GPU."""
    rows = bench_files([write_onnx(tmp_path / "a.onnx")])
    ways = [(row.provider, row.copies) for row in rows]
    assert ways == [(CPU, None), (CUDA, False), (CUDA, True)]
    assert all(0 < row.folded_ms.p50 <= row.folded_ms.p95 for row in rows)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("copies", [False, True])
def test_a_gpu_computes(tmp_path, copies):
    """Both ways of calling compute on the GPU what the CPU does."""
    path = write_onnx(tmp_path / "a.onnx")
    cpu, cuda = OnnxRunner(path, CPU, 1, 2, 0), OnnxRunner(path, CUDA, 1, 2, 0, copies=copies)
    cuda.prepare()
    cuda.run_once()
    (found,) = (
        cuda._session.run(None, cuda._feeds)
        if copies
        else [value.numpy() for value in cuda._binding.get_outputs()]
    )
    (wanted,) = cpu._session.run(None, cpu._feeds)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert (cuda._binding is None) == copies
    cuda.close()
    cpu.close()
