import json

import keras
import numpy as np
import oracle
import PIL.Image
import pytest
from authors import golden, load_crate_state, state_of
from compare import assert_close

from keras_crate import CRATE, CRATEAlpha, interpret, objective
from keras_crate.objective.measure import Measurer


@pytest.fixture(scope="module")
def micro():
    arrays = golden("crate_micro")
    model = CRATE(
        48, 2, 4, input_shape=(32, 32, 3), patch_size=8, classes=10,
        include_preprocessing=False, classifier_activation=None,
    )  # fmt: skip
    load_crate_state(model, state_of(arrays))
    return model, arrays["images_nchw"].transpose(0, 2, 3, 1), arrays


def test_golden_zero_fraction(micro):
    model, images, arrays = micro
    measured = objective.measure(model, images)
    assert_close(np.array(measured.sparsity_mean), arrays["zero_fraction"], atol=2e-5)


def _exact_coding_rates(images, state, heads=4):
    """The authors' measure computed in float64 from their tensors, by the oracle."""
    state = {k: v.astype("float64") for k, v in state.items()}
    z, rates = oracle.tokens(images, 8, state), []
    for i in range(2):
        mssa, ista = (f"transformer.layers.{i}.{k}" for k in (0, 1))
        norms = [(state[f"{p}.norm.weight"], state[f"{p}.norm.bias"]) for p in (mssa, ista)]
        u = state[f"{mssa}.fn.qkv.weight"].T
        out, bias = state[f"{mssa}.fn.to_out.0.weight"].T, state[f"{mssa}.fn.to_out.0.bias"]
        w = np.stack(np.split(oracle.layer_norm(z, *norms[0]) @ u, heads, axis=-1), axis=1)
        w /= np.linalg.norm(w, axis=-1, keepdims=True)
        rates.append(oracle.coding_rate(w, eps=0.1).sum(axis=1))  # their eps is 0.1 squared
        z = oracle.block(z, norms[0], u, heads, out, bias, norms[1], state[f"{ista}.fn.weight"])
    return np.array(rates)


def test_golden_coding_rate(micro):
    """Within 2e-5 of the exact value, and of the golden one within its own rounding.

    The golden numbers are float32: 94.907 is stored in steps of 7.6e-6, and the
    first is 2.2e-5 from what float64 gives for the same tensors. `measure`
    computes in float64.
    """
    model, images, arrays = micro
    measured = objective.measure(model, images)
    found = np.transpose([measured.coding_rate_mean, measured.coding_rate_std])
    rates = _exact_coding_rates(images, state_of(arrays))
    exact = np.transpose([rates.mean(axis=1), rates.std(axis=1, ddof=1)])
    assert_close(found, exact, atol=2e-5)
    assert_close(found, arrays["coding_rate_mean_std"], atol=2.5e-5)


def test_batches_do_not_matter(micro):
    model, images, _ = micro
    whole = objective.measure(model, images)
    split = objective.measure(model, images, batch_size=2)
    assert split.images == 3
    assert_close(np.array(split.coding_rate_mean), np.array(whole.coding_rate_mean), atol=1e-4)
    assert_close(np.array(split.sparsity_std), np.array(whole.sparsity_std), atol=1e-6)


def test_the_papers_convention_measures_the_half_step(micro):
    model, images, _ = micro
    measured = objective.measure(model, images, convention="paper")
    half = keras.Model(model.input, model.get_layer("block_1_add").output)
    tokens = half.predict(images, verbose=0)
    bases = keras.ops.convert_to_numpy(model.get_layer("block_1_mssa").subspace_bases())
    expected = objective.subspace_coding_rate(tokens, bases).mean()
    assert_close(measured.coding_rate_mean[1], expected, atol=1e-4)


def test_the_result_says_where_it_was_measured(micro):
    model, images, _ = micro
    half = objective.measure(model, images, convention="paper")
    assert half.at == "half" and half.to_dict()["at"] == "half" and "half-step" in str(half)
    assert objective.measure(model, images).at == "input"


def test_any_functional_model_with_blocks_is_measured(micro):
    model, images, _ = micro
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert objective.measure(clone, images) == objective.measure(model, images)


def test_prints_and_converts(micro):
    model, images, _ = micro
    measured = objective.measure(model, images[:1])
    assert measured.coding_rate_std == [0.0, 0.0]
    lines = str(measured).splitlines()
    whose = "authors' convention (R^c at the block's input)"
    assert len(lines) == 4 and lines[-1] == f"1 images, {whose}, eps = 0.01, non-zeros of ISTA"
    for zeros, line in zip(measured.sparsity_mean, lines[1:3], strict=True):
        assert f" {1 - zeros:.3f} +- 0.000" in line
    assert json.loads(measured.to_json()) == measured.to_dict()
    assert objective.LayerMeasurements.from_dict(json.loads(measured.to_json())) == measured


def test_the_papers_convention_adds_rates_and_the_objective(micro):
    model, images, _ = micro
    measured = objective.measure(model, images, convention="paper", penalty=0.2)
    names = ("block_1_add", "block_1_ista")
    inside = keras.Model(model.input, [model.get_layer(name).output for name in names])
    half, output = inside.predict(images, verbose=0)
    bases = keras.ops.convert_to_numpy(model.get_layer("block_1_mssa").subspace_bases())
    rate = objective.coding_rate(half)
    reduction = rate - objective.subspace_coding_rate(half, bases)
    value = objective.sparse_rate_reduction(output, bases, penalty=0.2)
    for name, expected in (("rate", rate), ("rate_reduction", reduction), ("objective", value)):
        assert_close(getattr(measured, f"{name}_mean")[1], expected.mean(), atol=1e-3)
        assert_close(getattr(measured, f"{name}_std")[1], expected.std(ddof=1), atol=1e-3)
    assert "objective" in str(measured) and measured.to_dict()["penalty"] == 0.2
    authors = objective.measure(model, images)
    assert authors.objective_mean is None and "rate_mean" not in authors.to_dict()


def test_streams_of_batches(micro):
    model, images, _ = micro

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return (images[:2], images[2:])[index], np.zeros(2)

    whole = objective.measure(model, images, batch_size=2)
    for stream in (Batches(), [images[:2], images[2:]], (x for x in (images[:2], images[2:]))):
        assert objective.measure(model, stream) == whole
    with pytest.raises(ValueError, match="at least one image"):
        objective.measure(model, iter(()))


def test_shows_progress(micro, capsys):
    model, images, _ = micro
    objective.measure(model, images, batch_size=1, verbose=1)
    assert "3/3" in capsys.readouterr().out


@pytest.mark.any_backend
def test_a_printed_table():
    values = ((1.23456, 0.01), (0.75, 0.125), (20.5, 0.25), (9.996, 1.0), (-3.14, 0.06))
    names = ("coding_rate", "sparsity", "rate", "rate_reduction", "objective")
    columns = {
        f"{name}_{kind}": [value]
        for name, pair in zip(names, values, strict=True)
        for kind, value in zip(("mean", "std"), pair, strict=True)
    }
    table = str(objective.LayerMeasurements(images=3, convention="paper", eps=0.5, **columns))
    assert table.splitlines() == [
        "block       coding rate R^c             non-zeros                rate R"
        "               R - R^c             objective",
        "    0          1.23 +- 0.01        0.250 +- 0.125         20.50 +- 0.25"
        "         10.00 +- 1.00           -3.1 +- 0.1",
        "3 images, paper's convention (R^c at the half-step), eps = 0.5, non-zeros of ISTA",
    ]


def test_converts_to_a_frame(micro):
    pytest.importorskip("pandas")
    model, images, _ = micro
    frame = objective.measure(model, images).to_frame()
    assert list(frame.index) == [0, 1] and "sparsity_std" in frame.columns


def test_plots_several_models(micro):
    pytest.importorskip("matplotlib")
    model, images, _ = micro
    measured = objective.measure(model, images)
    paper = objective.measure(model, images, convention="paper")
    with pytest.raises(ValueError, match=r"'b' was measured in the paper convention.*Measure both"):
        measured.plot("a", {"b": paper})
    with pytest.raises(ValueError, match=r"'b' was measured in the authors convention.*Measure bo"):
        paper.plot("a", {"b": measured})
    with pytest.raises(ValueError, match=r"must have another name. Received: 'a' twice"):
        measured.plot("a", {"a": measured})
    figure = measured.plot("trained", {"untrained": measured})
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["trained", "untrained"]


def test_plot_shows_the_numbers_of_the_table_and_names_the_operator(micro):
    pytest.importorskip("matplotlib")
    model, images, _ = micro
    measured = objective.measure(model, images)
    figure = measured.plot()
    rates, nonzero = figure.axes
    assert [ax.get_title() for ax in (rates, nonzero)] == ["Compression: coding rate", "Sparsity"]
    assert nonzero.get_ylabel() == "share of non-zeros of ISTA"
    assert_close(nonzero.lines[0].get_ydata(), 1 - np.array(measured.sparsity_mean), atol=1e-12)
    alpha = objective.measure(_alpha(), images)
    assert "non-zeros of OvercompleteISTA" in str(alpha)
    labels = [ax.get_ylabel() for ax in measured.plot("a", {"b": alpha}).axes]
    assert labels[1] == "share of non-zeros of ISTA, OvercompleteISTA"


def _alpha():
    return CRATEAlpha(48, 2, 4, input_shape=(32, 32, 3), patch_size=8, classes=10)


def test_only_what_the_convention_reads_is_computed():
    model = _alpha()
    outputs = [model.get_layer(f"block_{i}_add_2").output for i in (0, 1)]
    for convention, per_block in (("authors", 2), ("paper", 3)):
        tensors = Measurer(model, convention).inside.tensors
        assert [len(of_block) for of_block in tensors] == [per_block] * 2
        computed = [t for of_block in tensors for t in of_block]
        assert all((output in computed) is (convention == "paper") for output in outputs)


def test_names_the_first_layer_that_is_not_finite(micro):
    _, images, _ = micro
    model = CRATE(48, 2, 4, input_shape=(32, 32, 3), patch_size=8, classes=10)
    norm = model.get_layer("block_1_norm_2")
    gamma, beta = norm.get_weights()
    norm.set_weights([gamma, np.where(np.arange(48) == 5, np.nan, beta)])
    message = (
        r"first in the output of layer 'block_1_norm_2' \(\d+ of \d+; .*beta'\] are not finite"
    )
    with pytest.raises(ValueError, match=message):
        objective.measure(model, images)
    with pytest.raises(ValueError, match=message):
        interpret.intermediates(model, images)


def test_names_the_attention_that_is_not_finite(micro):
    """Of the last block, whose attention nothing but the attention maps read."""
    _, images, _ = micro
    model = CRATE(48, 1, 4, input_shape=(32, 32, 3), patch_size=8, classes=10)
    mssa = model.get_layer("block_0_mssa")
    first, *others = mssa.get_weights()
    mssa.set_weights([np.full_like(first, np.nan), *others])
    for look in (interpret.attention_maps, interpret.rollout, interpret.segment):
        with pytest.raises(ValueError, match="first in the output of layer 'block_0_mssa'"):
            look(model, images)


def test_fewer_tokens_than_heads(micro):
    _, images, _ = micro
    model = CRATE(48, 1, 12, input_shape=(32, 32, 3), patch_size=16, classes=10)  # 5 tokens
    for convention in ("authors", "paper"):
        assert np.isfinite(objective.measure(model, images, convention=convention).coding_rate_mean)


def test_refusals(micro):
    model, images, _ = micro
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"`model` must have white-box blocks.*Sequential"):
        objective.measure(plain, np.ones((1, 4)))
    with pytest.raises(ValueError, match=r"one image: pass `images\[None\]`"):
        objective.measure(model, images[0])
    with pytest.raises(ValueError, match="NaN or infinite, at index 0, 1, 2"):
        objective.measure(model, images * np.nan)
    for look in (objective.measure, interpret.intermediates):
        with pytest.raises(ValueError, match="at least one image"):
            look(model, images[:0])
        with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
            look(model, images, batch_size=0)
        for one in (PIL.Image.new("RGB", (32, 32)), "image.png", None, {"image": images}):
            name = type(one).__name__
            with pytest.raises(ValueError, match=rf"type {name}(.|\n)*numpy.asarray\(image\)"):
                look(model, one)
    with pytest.raises(ValueError, match=r"a dict with keys \['image'\]"):
        objective.measure(model, [{"image": images}])
    with pytest.raises(ValueError, match=r"`model` must be a Keras model. Received: str"):
        objective.measure("model.keras", images)
    with pytest.raises(ValueError, match=r"`convention`.*'mine'"):
        objective.measure(model, images, convention="mine")
    with pytest.raises(ValueError, match="`penalty` must be a number of 0 or more"):
        objective.measure(model, images, convention="paper", penalty=-1)
