import keras
import numpy as np
import oracle
import pytest
from authors import golden, load_crate_state, state_of
from compare import assert_close
from family import FamilyChecks
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import small_search

import keras_crate
from keras_crate import CRATE


class TestCRATE(FamilyChecks):
    bigger = {"dim": 32}
    parameter_counts = (
        ("CRATETiny", {}, 6_090_856),
        ("CRATESmall", {}, 13_116_328),
        ("CRATEBase", {}, 22_796_008),
        ("CRATELarge", {}, 77_641_192),
    )
    golden_cases = (
        (
            "crate_micro",
            {"dim": 48, "depth": 2, "heads": 4, "input_shape": (32, 32, 3), "classes": 10},
        ),
        (
            "crate_nonsquare_meanpool",
            {
                "dim": 32,
                "depth": 1,
                "heads": 2,
                "input_shape": (24, 40, 3),
                "patch_size": (8, 4),
                "classes": 7,
                "pooling": "avg",
            },
        ),
    )

    def test_float16_trains_with_scaled_losses(self, tmp_path):
        """For one family on every backend; for the others where it does not compile for long."""
        super().test_float16_trains_with_scaled_losses(tmp_path)

    def build(self, **overrides):
        small = {
            "dim": 24,
            "depth": 2,
            "heads": 2,
            "input_shape": (16, 16, 3),
            "patch_size": 8,
            "classes": 5,
        }
        return CRATE(**{**small, **overrides})

    def load_authors_state(self, model, state):
        load_crate_state(model, state)

    def test_the_graph_shows_the_white_box(self):
        model = self.build()
        lines = []
        model.summary(print_fn=lines.append)
        for name in ("norm_1", "mssa", "add", "norm_2", "ista"):
            assert model.get_layer(f"block_1_{name}").output.shape == (None, 5, 24)
            assert f"block_1_{name}" in "\n".join(lines)
        inside = keras.Model(model.input, model.get_layer("block_1_ista").output)
        assert (inside.predict(self.images(), verbose=0) == 0).mean() > 0.2

    @settings(small_search, max_examples=3)
    @given(st.integers(1, 3), st.integers(1, 5), st.floats(0.05, 0.3), st.integers(0, 2**31))
    def test_a_block_agrees_with_the_equation(self, heads, head_dim, eta, seed):
        rng = np.random.default_rng(seed)
        model = CRATE(
            heads * head_dim, 1, heads, input_shape=(8, 8, 2), patch_size=4, classes=3,
            step_size=eta, penalty=0.2, include_top=False, pooling=None,
        )  # fmt: skip
        model.set_weights([w + rng.normal(size=w.shape, scale=0.1) for w in model.get_weights()])
        images = rng.uniform(0, 255, (2, 8, 8, 2)).astype("float32")
        layers = {
            name: model.get_layer(name)
            for name in ("token_embedding", "block_0_mssa", "block_0_norm_1", "block_0_norm_2",
                         "block_0_ista")
        }  # fmt: skip
        u, *out = layers["block_0_mssa"].get_weights()
        out = out or [None, None]
        (d,) = layers["block_0_ista"].get_weights()
        inside = keras.Model(model.input, layers["token_embedding"].output)
        expected = oracle.block(
            inside.predict(images, verbose=0),
            layers["block_0_norm_1"].get_weights(),
            u,
            heads,
            *out,
            layers["block_0_norm_2"].get_weights(),
            d,
            eta,
            0.2,
        )
        assert_close(model(images), expected, atol=2e-5)


@pytest.mark.any_backend
def test_epsilon_is_the_authors():
    model = TestCRATE().build()
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.LayerNormalization)]
    assert len(norms) == 2 + 2 * 2 + 1
    assert {norm.epsilon for norm in norms} == {1e-5}


@pytest.mark.any_backend
def test_constructors_take_the_documented_arguments():
    import inspect

    names = list(inspect.signature(keras_crate.CRATETiny).parameters)
    assert names[:11] == [
        "weights", "include_top", "input_shape", "patch_size", "classes", "pooling",
        "classifier_activation", "include_preprocessing", "dropout_rate", "class_names", "name",
    ]  # fmt: skip


@pytest.mark.any_backend
def test_default_shape_follows_channels_first():
    keras.config.set_image_data_format("channels_first")
    assert keras_crate.CRATETiny().input_shape == (None, 3, 224, 224)


def test_golden_state_through_a_file(tmp_path):
    """The authors' numbers also after saving and loading by `weights=`."""
    arrays = golden("crate_micro")
    arguments = dict(dim=48, depth=2, heads=4, input_shape=(32, 32, 3), patch_size=8, classes=10)
    bare = {"include_preprocessing": False, "classifier_activation": None}
    model = CRATE(**arguments, **bare)
    load_crate_state(model, state_of(arrays))
    model.save(tmp_path / "golden.keras")
    again = keras.saving.load_model(tmp_path / "golden.keras")
    images = arrays["images_nchw"].transpose(0, 2, 3, 1)
    assert_close(again.predict(images, verbose=0), arrays["logits"], atol=2e-5)
