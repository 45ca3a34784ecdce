"""Where each hard case is tested: an index by the numbers of the project's list.

A reader looks a case up here; `test_every_case_is_tested` holds the index against the files.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

CASES: dict[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "Lambda in .h5 and .keras, in nested models and wrappers too",
        (
            "test_hostile_files.py::test_01_to_03_code_and_files_named_by_a_layer",
            "frontends/legacy/test_lambdas.py::test_code_runs_only_if_the_user_says_so",
            "frontends/legacy/test_lambdas.py::test_functions_of_the_user",
        ),
    ),
    2: (
        "callables like os.system, get_file, TFSMLayer, TorchModuleWrapper",
        (
            "test_hostile_files.py::test_01_to_03_code_and_files_named_by_a_layer",
            "test_hostile_files.py::test_02_callables_of_other_modules",
            "frontends/test_configs.py::test_what_reaches_outside",
            "frontends/test_configs.py::test_strangers",
        ),
    ),
    3: (
        "vocabularies in a file or behind a URL are not opened",
        (
            "test_hostile_files.py::test_01_to_03_code_and_files_named_by_a_layer",
            "test_hostile_files.py::test_03_a_vocabulary_is_not_opened",
        ),
    ),
    4: (
        "HDF5 links, virtual datasets, external storage",
        (
            "test_hostile_files.py::test_04_hdf5_that_reaches_outside",
            "test_hostile_files.py::test_04_hdf5_inside_a_zip",
        ),
    ),
    5: (
        "zip members outside, links, duplicates, bombs",
        ("test_hostile_files.py::test_05_zip_that_reaches_outside",),
    ),
    6: (
        "a small file that asks for much memory",
        (
            "frontends/test_budget.py::test_bombs",
            "frontends/test_budget.py::test_the_command_is_quick_and_small",
            "test_hostile_files.py::test_04_hdf5_that_reaches_outside",
            "worker/test_limits.py::test_too_little_memory",
        ),
    ),
    7: (
        "empty, truncated, random bytes, a FIFO, a directory that is no SavedModel",
        (
            "test_hard_cases.py::test_07_no_model",
            "frontends/test_sniff.py::test_refused",
            "frontends/test_sniff.py::test_truncated_model",
            "frontends/test_strangers.py::test_file",
            "frontends/test_strangers.py::test_folder",
        ),
    ),
    8: (
        "a wrong suffix: models are known by their content",
        (
            "test_hard_cases.py::test_08_wrong_suffix",
            "frontends/test_sniff.py::test_suffix_does_not_matter",
            "benchmark/test_measure.py::test_formats_mix_and_suffixes_lie",
        ),
    ),
    9: ("an .h5 of weights alone", ("test_hard_cases.py::test_09_weights_only",)),
    10: (
        "custom layers, losses and metrics",
        (
            "test_hard_cases.py::test_10_unknown_layer",
            "test_hard_cases.py::test_10_custom_objects",
            "test_hard_cases.py::test_10_custom_objects_that_do_not_run",
            "test_hard_cases.py::test_10_custom_loss",
        ),
    ),
    11: (
        "NaN and infinite weights, variances without a root, a variance of zero",
        (
            "test_hard_cases.py::test_11_bad_weights",
            "test_hard_cases.py::test_11_bad_weights_of_other_layers",
            "test_hard_cases.py::test_11_zero_variance",
        ),
    ),
    12: (
        "a mean a million deviations from zero",
        ("test_hard_cases.py::test_12_mean_far_above_deviation",),
    ),
    13: (
        "gamma of zero or below before ReLU; no scale, no center",
        ("test_hard_cases.py::test_13_negative_zero_and_missing_scale",),
    ),
    14: (
        "normalization after ReLU, and before a padded convolution",
        ("test_hard_cases.py::test_14_after_relu", "test_hard_cases.py::test_14_before_padding"),
    ),
    15: (
        "several consumers, shared layers, a normalization called twice",
        (
            "test_hard_cases.py::test_15_two_consumers",
            "test_hard_cases.py::test_15_output_beside_the_normalization",
            "test_hard_cases.py::test_15_shared_dense",
            "test_hard_cases.py::test_15_normalization_called_twice",
        ),
    ),
    16: (
        "kernels of every layout",
        ("test_hard_cases.py::test_16_kernels_of_every_layout",),
    ),
    17: (
        "normalization over other axes",
        ("test_hard_cases.py::test_17_other_axis", "test_hard_cases.py::test_17_axis_as_a_list"),
    ),
    18: (
        "hostile names are escaped wherever they are told",
        (
            "test_hostile_names.py::test_a_layer_of_any_name_converts",
            "test_hostile_names.py::test_names_are_escaped_by_the_command",
            "test_hostile_names.py::test_an_error_with_a_hostile_name",
            "test_hostile_names.py::test_the_report_is_escaped",
            "report/test_wording.py::test_printable",
            "report/test_documents.py::test_document_is_escaped_and_means_the_same",
        ),
    ),
    19: (
        "ops that touch the machine, in initializers and library functions too",
        (
            "frontends/test_safety.py::test_call",
            "frontends/test_safety.py::test_init_op_that_writes",
            "frontends/test_safety.py::test_restore_op_that_writes",
            "frontends/test_safety.py::test_restore_op_that_reads_elsewhere",
            "frontends/test_safety.py::test_nothing_is_run",
            "frontends/test_safety.py::test_list_holds_nothing_that_touches_the_machine",
        ),
    ),
    20: (
        "SavedModels with no, several or ragged signatures",
        (
            "frontends/test_saved_model.py::test_no_signature",
            "frontends/test_saved_model.py::test_signatures",
            "frontends/test_saved_model.py::test_ports_that_hold_no_dense_numbers",
            "frontends/test_saved_model.py::test_sparse_signature",
        ),
    ),
    21: (
        "an op that an exporter cannot convert",
        (
            "test_convert.py::test_unknown_op",
            "test_convert.py::test_nothing_remains_after_a_failure",
            "test_convert.py::test_old_files_survive_a_failure",
        ),
    ),
    22: (
        "an output that is the input by any alias; an output that exists",
        (
            "test_hard_cases.py::test_22_the_model_is_no_target",
            "test_hard_cases.py::test_22_existing_output",
            "test_hard_cases.py::test_22_a_dangling_link_is_there",
            "test_convert.py::test_the_model_is_never_replaced",
            "test_convert.py::test_nothing_is_written_into_a_saved_model",
            "test_saved_model.py::test_the_model_is_never_replaced",
        ),
    ),
    23: (
        "a full disk or a read-only folder at every write",
        (
            "test_faults.py::test_full_disk_at_every_write",
            "test_faults.py::test_files_that_may_not_grow",
            "test_faults.py::test_full_disk_in_the_command",
            "test_faults.py::test_read_only_folder",
            "test_faults.py::test_output_folder_inside_a_closed_one",
            "test_faults.py::test_full_stdout",
            "files/test_publishing.py::test_a_name_that_cannot_be_taken",
        ),
    ),
    24: (
        "Ctrl-C, SIGTERM and kill -9 in every phase",
        (
            "test_faults.py::test_killed_worker",
            "test_faults.py::test_killed_worker_while_publishing",
            "test_faults.py::test_signal",
            "test_faults.py::test_signal_while_publishing",
            "test_faults.py::test_signal_after_publishing",
            "test_faults.py::test_killed_command",
            "test_faults.py::test_the_next_run_tidies_up",
            "files/test_publishing.py::test_killed_at_every_step",
        ),
    ),
    25: (
        "a provider that is not there",
        (
            "test_hard_cases.py::test_25_provider_that_is_not_there",
            "test_hard_cases.py::test_25_unknown_provider",
            "benchmark/test_measure.py::test_a_session_does_not_fall_back",
            "benchmark/test_providers.py::test_a_provider_that_runs_elsewhere_is_absent",
            "test_command.py::test_missing_provider",
        ),
    ),
    26: (
        "a malformed .tflite given to verify and bench",
        (
            "test_malformed_tflite.py::test_26_malformed_tflite",
            "test_malformed_tflite.py::test_26_tflite_that_crashes_its_runtime",
        ),
    ),
    27: (
        "external data of ONNX: outside, behind a link, short",
        (
            "test_external_data.py::test_27_data_that_lies_elsewhere",
            "test_external_data.py::test_data_beside_the_file_is_read",
        ),
    ),
    28: (
        "head, no terminal, NO_COLOR, LANG=C, a read-only home",
        (
            "test_hard_cases.py::test_28_bare_environment",
            "test_command.py::test_closed_stdout",
            "test_faults.py::test_closed_streams",
            "test_faults.py::test_read_only_home",
            "test_faults.py::test_home_stays_clean",
        ),
    ),
    29: (
        "an artefact that was altered after its export",
        (
            "test_proof.py::test_verify_finds_an_edited_file",
            "test_proof.py::test_verify_finds_a_wrong_epsilon",
            "test_proof.py::test_verify_finds_exchanged_outputs_in_onnx",
            "test_proof.py::test_verify_finds_exchanged_outputs_in_tflite",
            "test_command.py::test_verify_fails",
        ),
    ),
    30: (
        "mixed precision, float64, bfloat16",
        (
            "test_precision.py::test_every_policy_folds_and_says_its_precision",
            "test_precision.py::test_artefacts_compute_the_model",
            "test_precision.py::test_verify_finds_a_small_fault",
            "test_precision.py::test_30_mixed_precision_of_another_version",
        ),
    ),
}


def test_all_cases():
    """No number of the list is left out."""
    assert list(CASES) == list(range(1, 31))


@pytest.mark.parametrize("number", CASES)
def test_every_case_is_tested(number):
    """Every test of the index is there."""
    _, tests = CASES[number]
    assert tests
    for place in tests:
        file, _, name = place.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place
