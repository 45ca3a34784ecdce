"""The networks that are measured: twins without normalizations, outputs that say something."""

import numpy as np
import pytest


@pytest.fixture(scope="module", params=["mlp", "cnn", "conv1d_resnet", "dense_resnet"])
def network(request):
    """Return a small network."""
    import networks

    return networks.build(request.param)


def test_twin_has_the_same_layers_but_for_normalizations(network):
    """The twin takes and gives the same shapes, and each of its layers has a bias."""
    import keras
    import networks
    import weights

    twin = networks.twin(network)
    assert weights.normalizations(network)
    assert not weights.normalizations(twin)
    assert twin.input_shape == network.input_shape
    assert twin.output_shape == network.output_shape
    weighted = [each for each in twin.layers if hasattr(each, "kernel")]
    assert len(weighted) == sum(hasattr(each, "kernel") for each in network.layers)
    assert all(each.use_bias and (np.asarray(each.bias) != 0).all() for each in weighted)
    additions = keras.layers.Add
    assert sum(isinstance(each, additions) for each in twin.layers) == sum(
        isinstance(each, additions) for each in network.layers
    )


def test_twin_leaves_no_map_in_its_export(network, tmp_path):
    """TFLite's own file of the twin multiplies nothing, and adds what the network adds."""
    import benchmark_artifacts
    import keras
    import networks

    from foldbn.export import statistics_of

    twin = networks.twin(network)
    path = tmp_path / "twin.tflite"
    benchmark_artifacts.write_plain(twin, path)
    ops = statistics_of(path.read_bytes()).ops
    assert not {"MUL", "SUB", "DIV"} & ops.keys()
    assert ops.get("ADD", 0) == sum(isinstance(e, keras.layers.Add) for e in twin.layers)


def test_activations_stay_sane(network):
    """No layer of a network or its twin computes infinity or vanishing numbers."""
    import networks
    import weights

    weights.check_activations(network)
    weights.check_activations(networks.twin(network))
    assert weights.check_outputs(network)["spread"] > 0.01


def test_saturated_outputs_are_refused():
    """A softmax that is certain whatever it sees is no network to measure algebra on."""
    import networks
    import weights

    model = networks.dense_resnet()
    model.layers[-1].kernel.assign(1000 * np.asarray(model.layers[-1].kernel))
    with pytest.raises(ValueError, match="certain"):
        weights.check_outputs(model)


def test_vanishing_activations_are_found():
    """Activations on their way to denormal numbers are told with their layer."""
    import networks
    import weights

    model = networks.dense_resnet()
    first = next(each for each in model.layers if hasattr(each, "kernel"))
    first.kernel.assign(1e-32 * np.ones(first.kernel.shape))
    with pytest.raises(ValueError, match=first.name):
        weights.check_activations(model)


def test_gammas_are_mixed_or_positive():
    """Mixed gammas have negative and zero ones, positive ones do not; statistics are finite."""
    import networks
    import weights

    for gammas, least in (("mixed", -0.1), ("positive", 0.4)):
        model = networks.build("conv1d_resnet", gammas=gammas)
        drawn = np.concatenate([np.ravel(each.gamma) for each in weights.normalizations(model)])
        assert (drawn.min() > least) == (gammas == "positive")
        assert (drawn == 0).any() == (gammas == "mixed")


@pytest.mark.parametrize("megabytes", [2, 8])
def test_scaled_network_has_the_size_asked_for(megabytes):
    """The weights of a scaled network take the bytes that were asked for, within 5 %."""
    import networks

    assert networks.scaled(megabytes).count_params() * 4 / 1e6 == pytest.approx(megabytes, rel=0.05)
