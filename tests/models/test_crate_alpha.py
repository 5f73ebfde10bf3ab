import keras
import numpy as np
import pytest
from authors import load_alpha_state
from compare import assert_close
from family import FamilyChecks

import keras_crate
from keras_crate import CRATEAlpha, objective
from keras_crate.layers import ISTA, OvercompleteISTA
from keras_crate.weights.sizes import SIZES

_MICRO = {"dim": 48, "depth": 2, "heads": 4, "input_shape": (32, 32, 3), "classes": 10}


class TestCRATEAlpha(FamilyChecks):
    operators = ("block_0_mssa", "block_0_overcomplete_ista")
    bigger = {"dim": 32}
    parameter_counts = (
        ("CRATEAlphaBase", {}, 72_328_936),
        # The same at patches 8 and 32, by the shapes of projection and positions.
        ("CRATEAlphaBase", {"patch_size": 8}, 72_328_936 - 192 * 3 * 768 + 588 * 768),
        ("CRATEAlphaBase", {"patch_size": 32}, 72_328_936 + 768 * 3 * 768 - 147 * 768),
    )
    golden_cases = (
        ("crate_alpha_micro", _MICRO),
        ("crate_alpha_jax_micro", {**_MICRO, "epsilon": 1e-6}),
    )

    def build(self, **overrides):
        small = {
            "dim": 24,
            "depth": 2,
            "heads": 2,
            "input_shape": (16, 16, 3),
            "patch_size": 8,
            "classes": 5,
        }
        return CRATEAlpha(**{**small, **overrides})

    def load_authors_state(self, model, state):
        load_alpha_state(model, state)

    def test_the_graph_shows_the_white_box(self):
        model = self.build()
        names = ("norm_1", "mssa", "add", "norm_2", "overcomplete_ista", "add_2")
        for name in names:
            assert model.get_layer(f"block_1_{name}").output.shape == (None, 5, 24)
        blocks = [layer.name for layer in model.layers if layer.name.startswith("block_0")]
        assert blocks == [f"block_0_{name}" for name in names]

    def test_layer_scale_and_drop_path(self):
        images = self.images(8)
        plain = self.build()
        scaled = self.build(layer_scale=1e-6)
        for layer in scaled.layers:
            if layer.weights and "layer_scale" not in layer.name:
                layer.set_weights(plain.get_layer(layer.name).get_weights())
        tokens = keras.Model(plain.input, plain.get_layer("token_embedding").output)
        output = keras.Model(scaled.input, scaled.get_layer("block_1_add_2").output)
        assert_close(
            output.predict(images, verbose=0), tokens.predict(images, verbose=0), atol=1e-4
        )
        dropping = self.build(drop_path_rate=0.5)
        rates = {x.name: x.rate for x in dropping.layers if "drop_path" in x.name}
        assert rates == {"block_1_drop_path_1": 0.5, "block_1_drop_path_2": 0.5}
        tokens = keras.Model(
            dropping.input,
            [dropping.get_layer(f"block_1_{name}").output for name in ("add", "norm_2", "add_2")],
        )
        half, _, whole = tokens(images, training=True)
        steps = keras.ops.convert_to_numpy(whole) - keras.ops.convert_to_numpy(half)
        left_out = (steps == 0).all(axis=(1, 2))
        assert 0 < left_out.sum() < 8  # whole steps, of some images

    @pytest.mark.any_backend
    def test_measures_the_codes(self):
        model = self.build()
        images = self.images()
        measured = objective.measure(model, images)
        layer = model.get_layer("block_1_overcomplete_ista")
        inside = keras.Model(model.input, layer.input)
        codes = layer.sparse_codes(inside.predict(images, verbose=0))
        zeros = (keras.ops.convert_to_numpy(codes) == 0).mean()
        assert_close(measured.sparsity_mean[1], zeros, atol=1e-6)
        assert 0.2 < zeros < 0.9


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("sparsify", "added"),
    [
        (ISTA(), False),
        (OvercompleteISTA(decoupled=False, residual=False), False),
        (OvercompleteISTA(decoupled=True, residual=False), False),
        (OvercompleteISTA(decoupled=True, residual=True), True),
    ],
)
def test_the_papers_ablation_is_four_configurations(sparsify, added, tmp_path):
    small = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 5}
    model = keras_crate.CRATE(24, 1, 2, sparsify=sparsify, **small)
    names = [layer.name for layer in model.layers]
    assert ("block_0_add_2" in names) == added
    weights = len(names and model.layers[names.index("block_0_norm_2") + 1].weights)
    assert weights == (2 if getattr(sparsify, "decoupled", False) else 1)
    if isinstance(sparsify, ISTA):
        return
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert [layer.name for layer in again.layers] == names
    images = np.full((1, 16, 16, 3), 100.0)
    np.testing.assert_array_equal(
        again.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    switches = {"decoupled": sparsify.decoupled, "residual": sparsify.residual}
    alpha = CRATEAlpha(24, 1, 2, **small, **switches)
    assert [x.name for x in alpha.layers] == names


@pytest.mark.any_backend
def test_epsilons_are_the_authors():
    model = TestCRATEAlpha().build()
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.LayerNormalization)]
    assert {norm.name: norm.epsilon for norm in norms} == {
        "block_0_norm_1": 1e-6,
        "block_0_norm_2": 1e-6,
        "block_1_norm_1": 1e-6,
        "block_1_norm_2": 1e-6,
        "head_norm": 1e-5,
    }


@pytest.mark.any_backend
@pytest.mark.parametrize("epsilon", [0, -1, "a"])
def test_refuses_an_epsilon_that_is_not_positive(epsilon):
    with pytest.raises(ValueError, match="`epsilon` must be a number above 0"):
        TestCRATEAlpha().build(epsilon=epsilon)


def test_initial_values_are_the_authors():
    model = TestCRATEAlpha().build(dim=256, depth=1, heads=4, input_shape=(64, 64, 3))
    stds = {w.path: keras.ops.convert_to_numpy(w).std() for w in model.weights}
    for path, expected in {
        "token_embedding/positions": 0.02,
        "block_0_mssa/subspaces/kernel": 0.02,
        "block_0_mssa/output_projection/kernel": 0.02,
        "head/kernel": 0.02,
        "patch_embedding/projection/kernel": np.sqrt(2 / 192),
        "block_0_overcomplete_ista/dictionary/kernel": np.sqrt(2 / 256),
        "block_0_overcomplete_ista/output_dictionary/kernel": np.sqrt(2 / 256),
        "patch_embedding/projection/bias": 0,
        "head/bias": 0,
    }.items():
        assert_close(stds[path], expected, atol=1e-9, rtol=0.1)
    assert 0.5e-6 < stds["token_embedding/class_token"] < 1.5e-6


@pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="counts are the same on every backend, and JAX compiles every weight's initial values",
)
def test_larger_sizes_count_by_their_blocks():
    """Parameters are linear in the depth: no need to make 24 or 32 blocks."""
    for name in ("CRATEAlphaLarge", "CRATEAlphaHuge"):
        size = SIZES[name]
        one, two = (
            CRATEAlpha(size.dim, depth, size.heads, patch_size=size.patch).count_params()
            for depth in (1, 2)
        )
        assert one + (size.depth - 1) * (two - one) == size.parameters
    assert SIZES["CRATEAlphaLarge"].parameters == 253_650_920


@pytest.mark.slow
def test_large_and_huge_as_they_are():
    for name in ("CRATEAlphaLarge", "CRATEAlphaHuge"):
        model = getattr(keras_crate, name)()
        assert model.count_params() == SIZES[name].parameters
        assert model.settings.patch_size == (14, 14)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["decoupled", "residual"])
def test_flags_are_booleans(name):
    with pytest.raises(ValueError, match=f"`{name}` must be True or False.*'no'"):
        CRATEAlpha(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5, **{name: "no"})
