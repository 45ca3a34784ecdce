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
            "hard_cases/test_files.py::test_07_no_model",
            "frontends/test_sniff.py::test_refused",
            "frontends/test_sniff.py::test_truncated_model",
            "frontends/test_strangers.py::test_file",
            "frontends/test_strangers.py::test_folder",
        ),
    ),
    8: (
        "a wrong suffix: models are known by their content",
        (
            "hard_cases/test_files.py::test_08_wrong_suffix",
            "frontends/test_sniff.py::test_suffix_does_not_matter",
            "benchmark/test_measure.py::test_formats_mix_and_suffixes_lie",
        ),
    ),
    9: ("an .h5 of weights alone", ("hard_cases/test_files.py::test_09_weights_only",)),
    10: (
        "custom layers, losses and metrics",
        (
            "hard_cases/test_custom_objects.py::test_10_unknown_layer",
            "hard_cases/test_custom_objects.py::test_10_custom_objects",
            "hard_cases/test_custom_objects.py::test_10_custom_objects_that_do_not_run",
            "hard_cases/test_custom_objects.py::test_10_custom_loss",
        ),
    ),
    11: (
        "NaN and infinite weights, variances without a root, a variance of zero",
        (
            "hard_cases/test_weights.py::test_11_bad_weights",
            "hard_cases/test_weights.py::test_11_bad_weights_of_other_layers",
            "hard_cases/test_weights.py::test_11_zero_variance",
        ),
    ),
    12: (
        "a mean a million deviations from zero",
        ("hard_cases/test_weights.py::test_12_mean_far_above_deviation",),
    ),
    13: (
        "gamma of zero or below before ReLU; no scale, no center",
        ("hard_cases/test_places.py::test_13_negative_zero_and_missing_scale",),
    ),
    14: (
        "normalization after ReLU, and before a padded convolution",
        (
            "hard_cases/test_places.py::test_14_after_relu",
            "hard_cases/test_places.py::test_14_before_padding",
        ),
    ),
    15: (
        "several consumers, shared layers, a normalization called twice",
        (
            "hard_cases/test_places.py::test_15_two_consumers",
            "hard_cases/test_places.py::test_15_output_beside_the_normalization",
            "hard_cases/test_places.py::test_15_shared_dense",
            "hard_cases/test_places.py::test_15_normalization_called_twice",
        ),
    ),
    16: (
        "kernels of every layout",
        ("hard_cases/test_layouts.py::test_16_kernels_of_every_layout",),
    ),
    17: (
        "normalization over other axes",
        (
            "hard_cases/test_layouts.py::test_17_other_axis",
            "hard_cases/test_layouts.py::test_17_axis_as_a_list",
        ),
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
            "frontends/test_altered_models.py::test_restore_op_that_writes",
            "frontends/test_altered_models.py::test_restore_op_that_reads_elsewhere",
            "frontends/test_altered_models.py::test_nothing_is_run",
            "frontends/test_safety.py::test_list_holds_nothing_that_touches_the_machine",
        ),
    ),
    20: (
        "SavedModels with no, several or ragged signatures",
        (
            "frontends/test_signatures.py::test_no_signature",
            "frontends/test_signatures.py::test_signatures",
            "frontends/test_signatures.py::test_ports_that_hold_no_dense_numbers",
            "frontends/test_signatures.py::test_sparse_signature",
        ),
    ),
    21: (
        "an op that an exporter cannot convert",
        (
            "convert/test_failures.py::test_unknown_op",
            "convert/test_failures.py::test_nothing_remains_after_a_failure",
            "convert/test_failures.py::test_old_files_survive_a_failure",
        ),
    ),
    22: (
        "an output that is the input by any alias; an output that exists",
        (
            "hard_cases/test_outputs.py::test_22_the_model_is_no_target",
            "hard_cases/test_outputs.py::test_22_existing_output",
            "hard_cases/test_outputs.py::test_22_a_dangling_link_is_there",
            "convert/test_outputs.py::test_the_model_is_never_replaced",
            "convert/test_outputs.py::test_nothing_is_written_into_a_saved_model",
            "saved_model/test_replacing.py::test_the_model_is_never_replaced",
        ),
    ),
    23: (
        "a full disk or a read-only folder at every write",
        (
            "faults/test_full_disk.py::test_full_disk_at_every_write",
            "faults/test_full_disk.py::test_files_that_may_not_grow",
            "faults/test_full_disk.py::test_full_disk_in_the_command",
            "faults/test_read_only.py::test_read_only_folder",
            "faults/test_read_only.py::test_output_folder_inside_a_closed_one",
            "faults/test_streams.py::test_full_stdout",
            "files/test_publishing.py::test_a_name_that_cannot_be_taken",
        ),
    ),
    24: (
        "Ctrl-C, SIGTERM and kill -9 in every phase",
        (
            "faults/test_signals.py::test_killed_worker",
            "faults/test_signals.py::test_killed_worker_while_publishing",
            "faults/test_signals.py::test_signal",
            "faults/test_signals.py::test_signal_while_publishing",
            "faults/test_signals.py::test_signal_after_publishing",
            "faults/test_signals.py::test_killed_command",
            "faults/test_signals.py::test_the_next_run_tidies_up",
            "files/test_publishing.py::test_killed_at_every_step",
        ),
    ),
    25: (
        "a provider that is not there",
        (
            "hard_cases/test_machines.py::test_25_provider_that_is_not_there",
            "hard_cases/test_machines.py::test_25_unknown_provider",
            "benchmark/test_sessions.py::test_a_session_does_not_fall_back",
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
            "hard_cases/test_machines.py::test_28_bare_environment",
            "test_usage.py::test_closed_stdout",
            "faults/test_streams.py::test_closed_streams",
            "faults/test_read_only.py::test_read_only_home",
            "faults/test_read_only.py::test_home_stays_clean",
        ),
    ),
    29: (
        "an artefact that was altered after its export",
        (
            "verification/test_edited_files.py::test_verify_finds_an_edited_file",
            "verification/test_edited_files.py::test_verify_finds_a_wrong_epsilon",
            "verification/test_edited_files.py::test_verify_finds_exchanged_outputs_in_onnx",
            "verification/test_edited_files.py::test_verify_finds_exchanged_outputs_in_tflite",
            "test_command.py::test_verify_fails",
        ),
    ),
    30: (
        "mixed precision, float64, bfloat16",
        (
            "precision/test_policies.py::test_every_policy_folds_and_says_its_precision",
            "precision/test_policies.py::test_artefacts_compute_the_model",
            "precision/test_policies.py::test_verify_finds_a_small_fault",
            "precision/test_policies.py::test_30_mixed_precision_of_another_version",
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
