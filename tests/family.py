"""What every model family must pass, written once.

A family joins with a subclass that fills in the attributes of `FamilyChecks`
(see `tests/models/test_crate.py`).
"""

import inspect

import keras
import numpy as np
import pytest
from authors import golden, images_of, parameters_of, state_of
from compare import assert_close, outputs
from disturb import disturb
from marks import COMPILES_LONG, compiles_long

import keras_crate
from keras_crate.layers import ISTA
from keras_crate.weights.assign import load_weights

ANY_BACKEND = pytest.mark.any_backend


class FamilyChecks:
    """Attributes to fill in:

    - `build(**overrides)`: a small model of the family, 16x16x3 in, patch 8,
      5 classes;
    - `operators`: names of the first block's, if they are not CRATE's;
    - `bigger`: overrides that make one of another size;
    - `parameter_counts`: published count of each public constructor, and the
      arguments to call it with;
    - `golden_cases`: name of the golden file and constructor overrides;
    - `load_authors_state(model, state)`: puts the authors' tensors into a model.
    """

    bigger: dict
    operators = ("block_0_mssa", "block_0_ista")
    parameter_counts: tuple
    golden_cases: tuple

    def build(self, **overrides):
        raise AssertionError("a family says how it is built")

    def load_authors_state(self, model, state):
        raise AssertionError("a family says how the authors' tensors fit")

    def images(self, batch=3, shape=(16, 16, 3)):
        return np.random.default_rng(1).uniform(0, 255, (batch, *shape)).astype("float32")

    # Exactness

    @pytest.mark.any_backend
    def test_every_argument_is_in_the_signature(self):
        model = self.build()
        config = set(model.get_config()) - {"weights"}
        assert config <= set(inspect.signature(type(model)).parameters)

    @pytest.mark.any_backend
    def test_parameter_counts(self):
        for constructor, arguments, count in self.parameter_counts:
            assert parameters_of(getattr(keras_crate, constructor)(**arguments)) == count

    def test_golden_logits_and_tokens(self):
        for name, arguments in self.golden_cases:
            arrays = golden(name)
            bare = {"include_preprocessing": False, "classifier_activation": None}
            model = self.build(**bare, **arguments)
            self.load_authors_state(model, state_of(arrays))
            images = images_of(arrays)
            assert_close(model.predict(images, verbose=0), arrays["logits"], atol=2e-5)
            for i, layer in enumerate(x for x in model.layers if isinstance(x, ISTA)):
                if f"tokens_{i}" in arrays:
                    inside = keras.Model(model.input, layer.output)
                    tokens = inside.predict(images, verbose=0)
                    assert_close(tokens, arrays[f"tokens_{i}"], atol=2e-5)

    # Shapes and options

    @pytest.mark.parametrize(
        "shape",
        [
            (8, 32, 3),
            pytest.param((24, 16, 1), marks=ANY_BACKEND),
            pytest.param((16, 16, 5), marks=ANY_BACKEND),
        ],
    )
    def test_input_shapes(self, shape):
        model = self.build(input_shape=shape)
        probabilities = model.predict(self.images(shape=shape), verbose=0)
        assert probabilities.shape == (3, 5)
        assert_close(probabilities.sum(axis=1), np.ones(3), atol=1e-5)

    @pytest.mark.any_backend
    def test_patch_may_be_a_pair(self):
        model = self.build(patch_size=(8, 4))
        assert model.get_layer("token_embedding").grid == (2, 4)
        assert outputs(model, self.images()).shape == (3, 5)

    @pytest.mark.any_backend
    @pytest.mark.parametrize(("pooling", "rank"), [("token", 2), ("avg", 2), (None, 3)])
    def test_without_head(self, pooling, rank):
        model = self.build(include_top=False, pooling=pooling)
        features = outputs(model, self.images())
        assert features.shape == ((3, 24) if rank == 2 else (3, 5, 24))

    def test_logits_and_probabilities_agree(self):
        model = self.build()
        logits = self.build(classifier_activation=None)
        logits.set_weights(model.get_weights())
        images = self.images()
        softmax = keras.ops.softmax(outputs(logits, images))
        assert_close(outputs(model, images), softmax, atol=1e-6)

    def test_preprocessing_is_imagenets_for_colour(self):
        model, bare = self.build(), self.build(include_preprocessing=False)
        bare.set_weights(model.get_weights())
        images = self.images()
        normalised = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        expected = outputs(bare, normalised)
        assert_close(outputs(model, images), expected, atol=1e-5)
        assert_close(outputs(model, images.astype("uint8")), expected, atol=0.05)

    @pytest.mark.any_backend
    def test_preprocessing_of_other_channels(self):
        grey, bare = (
            self.build(input_shape=(16, 16, 1), include_preprocessing=p) for p in (True, False)
        )
        given = self.build(input_shape=(16, 16, 1), mean=[0.2], std=0.4)
        for model in (bare, given):
            model.set_weights(grey.get_weights())
        images = self.images(shape=(16, 16, 1))
        expected = outputs(bare, images / 127.5 - 1)
        assert_close(outputs(grey, images), expected, atol=1e-5)
        expected = outputs(bare, (images / 255 - 0.2) / 0.4)
        assert_close(outputs(given, images), expected, atol=1e-5)

    def test_channels_first_agrees_with_channels_last(self):
        last = self.build(input_shape=(16, 24, 3))
        first = self.build(input_shape=(3, 16, 24), data_format="channels_first")
        first.set_weights(last.get_weights())
        images = self.images(shape=(16, 24, 3))
        expected = outputs(last, images)
        found = outputs(first, images.transpose(0, 3, 1, 2))
        assert_close(found, expected, atol=1e-5)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
    def test_dtype_policies(self, policy):
        exact, model = self.build(), self.build(dtype=policy)
        model.set_weights(exact.get_weights())
        probabilities = model(self.images())
        wanted = "bfloat16" if policy == "bfloat16" else "float32"
        assert keras.backend.standardize_dtype(probabilities.dtype) == wanted
        probabilities = keras.ops.cast(probabilities, "float32")
        assert_close(probabilities, outputs(exact, self.images()), atol=0.05)

    def test_same_seed_same_model(self):
        models = []
        for seed in (7, 7, 8):
            keras.utils.set_random_seed(seed)
            models.append(self.build(dropout_rate=0.1))
        a, b, c = (outputs(m, self.images()) for m in models)
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - c).max() > 1e-4

    def test_with_input_shape(self):
        model = self.build()
        before = model.get_weights()
        larger = model.with_input_shape((24, 32, 3))
        assert type(larger) is type(model)
        assert larger.predict(self.images(shape=(24, 32, 3)), verbose=0).shape == (3, 5)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        same = model.with_input_shape((16, 16, 3))
        images = self.images()
        expected = model.predict(images, verbose=0)
        assert_close(same.predict(images, verbose=0), expected, atol=1e-7)
        same.compile("sgd", "sparse_categorical_crossentropy")
        same.fit(images, np.zeros(3), verbose=0)  # the two share nothing
        np.testing.assert_array_equal(model.predict(images, verbose=0), expected)

    # Saving

    def reloaded(self, model, tmp_path, form):
        if form == "keras":
            model.save(tmp_path / "model.keras")
            return keras.saving.load_model(tmp_path / "model.keras")
        if form == "weights":
            model.save_weights(tmp_path / "model.weights.h5")
            new = type(model).from_config(model.get_config())
            new.load_weights(tmp_path / "model.weights.h5")
            return new
        new = (
            keras.models.clone_model(model)
            if form == "clone"
            else type(model).from_config(model.get_config())
        )
        new.set_weights(model.get_weights())
        return new

    @pytest.mark.parametrize(
        "form",
        ["keras", *(pytest.param(f, marks=ANY_BACKEND) for f in ("weights", "clone", "config"))],
    )
    def test_round_trip(self, form, tmp_path):
        model = self.build(
            input_shape=(16, 24, 3),
            patch_size=(8, 4),
            pooling="avg",
            dropout_rate=0.1,
            class_names=list("abcde"),
            mean=0.4,
            std=0.3,
            drop_path_rate=0.2,
            layer_scale=0.01,
        )
        images = self.images(shape=(16, 24, 3))
        again = self.reloaded(model, tmp_path, form)
        np.testing.assert_array_equal(outputs(again, images), outputs(model, images))
        if form != "clone":  # Keras clones into a plain functional model
            assert again.get_config() == model.get_config()
            assert again.class_names == tuple("abcde")

    def test_round_trip_of_policy(self, tmp_path):
        model = self.build(dtype="mixed_bfloat16")
        again = self.reloaded(model, tmp_path, "keras")
        assert {x.dtype_policy.name for x in again.layers if x.name.startswith("block")} == {
            "mixed_bfloat16"
        }
        images = self.images()
        np.testing.assert_array_equal(outputs(again, images), outputs(model, images))

    def test_frozen_layers_survive_saving(self, tmp_path):
        model = self.build()
        for layer in model.layers:
            layer.trainable = layer.name.startswith(("head", "block_1"))
        again = self.reloaded(model, tmp_path, "keras")
        assert [w.path for w in again.trainable_weights] == [
            w.path for w in model.trainable_weights
        ]
        assert 0 < len(again.trainable_weights) < len(again.weights)
        for layer in again.layers:  # thawed one by one: Keras' TensorFlow models do not pass
            layer.trainable = True  # `trainable` on to frozen layers
        thawed = self.reloaded(again, tmp_path, "keras")
        assert len(thawed.trainable_weights) == len(self.build().trainable_weights)

    @compiles_long
    def test_float16_trains_with_scaled_losses(self, tmp_path):
        model = self.build(dtype="mixed_float16")
        model.compile("adam", "sparse_categorical_crossentropy")
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        images, labels = self.images(8), np.arange(8) % 5
        model.fit(images, labels, verbose=0)
        again = self.reloaded(model, tmp_path, "keras")
        assert isinstance(again.optimizer, keras.optimizers.LossScaleOptimizer)
        np.testing.assert_array_equal(
            again.predict(images, verbose=0), model.predict(images, verbose=0)
        )
        again.fit(images, labels, verbose=0)

    @pytest.mark.any_backend
    def test_statistics_and_sizes_may_be_numpys(self, tmp_path):
        mean = np.array([0.4, 0.5, 0.6])
        model = self.build(mean=mean, std=np.float32(0.5), classes=np.int64(5))
        mean[:] = 0
        assert model.get_config()["mean"] == [0.4, 0.5, 0.6]
        again = self.reloaded(model, tmp_path, "keras")
        assert again.get_config() == model.get_config()

    def test_int8_survives_saving(self, tmp_path):
        model = self.build()
        images = self.images()
        exact = outputs(model, images)
        model.quantize("int8")
        expected = outputs(model, images)
        assert 0 < np.abs(expected - exact).max() < 0.05
        for turn in range(3):
            path = tmp_path / f"{turn}.keras"
            model.save(path)
            model = keras.saving.load_model(path)
            assert "int8" in {str(w.dtype) for w in model.weights}
            assert_close(outputs(model, images), expected, atol=1e-6)
        assert_close(model.predict(images, verbose=0), expected, atol=0.01)  # compiled
        larger = model.with_input_shape((24, 24, 3))
        assert "int8" in {str(w.dtype) for w in larger.weights}

    def test_lora_trains_and_survives_saving(self, tmp_path):
        model = self.build()
        images, labels = self.images(8), np.arange(8) % 5
        exact = outputs(model, images)
        model.enable_lora(2)
        assert_close(outputs(model, images), exact, atol=1e-6)
        adapters = [w for w in model.trainable_weights if "lora" in w.path]
        others = [w.path for w in model.trainable_weights if "lora" not in w.path]
        assert len(adapters) == 2 * len(self.adapted(model))
        free = ("bias", "step_x", "step_rep")
        assert all(path.startswith("head") or path.endswith(free) for path in others)
        frozen = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_weights]
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(images, labels, epochs=2, verbose=0)
        for before, after in zip(frozen, model.non_trainable_weights, strict=True):
            assert_close(after, before, atol=0)
        trained = outputs(model, images)
        assert np.abs(trained - exact).max() > 1e-5
        again = self.reloaded(model, tmp_path, "keras")
        assert_close(outputs(again, images), trained, atol=1e-5)
        loaded = [w for w in again.trainable_weights if "lora_kernel_a" in w.path]
        assert loaded and all(keras.ops.any(w != 0) for w in loaded)  # with 0 it would stay so

    def adapted(self, model):
        return [
            part
            for layer in model.layers
            if layer.name.startswith("block_")
            for part in layer._flatten_layers(include_self=False)
            if isinstance(part, keras.layers.Dense)
        ]

    # Registers

    def test_registers(self, tmp_path):
        model = self.build(registers=3, classifier_activation=None)
        embedding = model.get_layer("token_embedding")
        assert (embedding.registers, embedding.prefix_tokens) == (3, 4)
        assert embedding.positions.shape == (1, 5, 24)
        images = self.images()
        tokens = keras.Model(model.input, embedding.output)(images)
        assert tokens.shape == (3, 8, 24)
        for image in keras.ops.convert_to_numpy(tokens)[:, 1:4]:  # without positions
            assert_close(image, keras.ops.convert_to_numpy(embedding.register_tokens)[0], atol=0)
        before = outputs(model, images)
        again = self.reloaded(model, tmp_path, "keras")
        np.testing.assert_array_equal(outputs(again, images), before)
        larger = model.with_input_shape((24, 16, 3))
        assert_close(
            larger.get_layer("token_embedding").register_tokens, embedding.register_tokens, atol=0
        )
        if type(model).__name__ != "CBT":  # CBSA has its own windows
            np.testing.assert_array_equal(
                keras_crate.interpret.attention_maps(model, images).shape, (3, 2, 2, 2)
            )
        fused = keras_crate.fuse(model)
        assert_close(outputs(fused, images), before, atol=1e-5)

    @pytest.mark.any_backend
    def test_registers_are_left_out_of_maps_and_poolings(self):
        tokens = self.build(registers=2, include_top=False, pooling=None)
        images = self.images()
        values = outputs(tokens, images)
        patches = np.concatenate([values[:, :1], values[:, 3:]], axis=1)
        for pooling in ("avg", "max"):
            model = self.build(registers=2, include_top=False, pooling=pooling)
            model.set_weights(tokens.get_weights())
            expected = getattr(patches, {"avg": "mean"}.get(pooling, pooling))(axis=1)
            assert_close(outputs(model, images), expected, atol=1e-5)
        model = self.build(registers=2)
        (every,) = keras_crate.interpret.intermediates(model, images, [-1])
        (mapped,) = keras_crate.interpret.intermediates(model, images, [-1], what="map")
        np.testing.assert_array_equal(mapped.reshape(3, 4, 24), every[:, 3:])
        pyramid = keras_crate.interpret.feature_pyramid(model, [-1])
        assert_close(next(iter(pyramid(images).values())), mapped, atol=1e-6)

    @pytest.mark.any_backend
    def test_weights_with_and_without_registers(self, tmp_path):
        plain, model = self.build(), self.build(registers=2)
        plain.save(tmp_path / "plain.keras")
        model.save(tmp_path / "two.keras")
        for name in ("plain.keras", "two.keras"):
            new = self.build(registers=2)
            start = keras.ops.convert_to_numpy(new.get_layer("token_embedding").register_tokens)
            source = plain if name == "plain.keras" else model
            if source is plain:
                with pytest.warns(UserWarning, match=r"no registers. The model's 2 registers keep"):
                    load_weights(new, tmp_path / name)
            else:
                load_weights(new, tmp_path / name)
                start = model.get_layer("token_embedding").register_tokens
            assert_close(new.get_layer("token_embedding").register_tokens, start, atol=0)
            ours, theirs = (m.get_layer("token_embedding").positions for m in (new, source))
            assert_close(ours, theirs, atol=0)
        for other in (self.build(), self.build(registers=3)):
            with pytest.raises(ValueError, match=r"have 2 registers.*registers=2"):
                load_weights(other, tmp_path / "two.keras")
        plain.save_weights(tmp_path / "plain.weights.h5")
        model.save_weights(tmp_path / "two.weights.h5")
        with pytest.warns(UserWarning, match="weights have no registers"):
            self.build(registers=1).load_weights(tmp_path / "plain.weights.h5")
        with pytest.raises(ValueError, match=r"have\s+2(.|\n)*registers=2"):
            self.build().load_weights(tmp_path / "two.weights.h5")

    # Another head

    @pytest.mark.any_backend
    def test_another_head(self):
        model = self.build(class_names=list("abcde"))
        assert model.num_classes == 5 and model.get_classifier() is model.get_layer("head")
        new = model.reset_classifier(3, class_names=list("xyz"))
        assert type(new) is type(model) and new.output_shape == (None, 3)
        assert new.num_classes == 3 and new.class_names == tuple("xyz")
        weights = {w.path: w for w in model.weights}
        for weight in new.weights:
            if not weight.path.startswith("head/"):
                assert_close(weight, weights[weight.path], atol=0)
        assert model.reset_classifier(5).class_names is None
        bare = model.reset_classifier(0)
        assert bare.num_classes == 0 and bare.get_classifier() is None
        assert bare.output_shape == (None, 24)
        again = bare.reset_classifier(4)
        assert again.output_shape == (None, 4)
        with pytest.raises(ValueError, match=r"`classes` must be an integer of 0 or more.*-1"):
            model.reset_classifier(-1)
        with pytest.raises(ValueError, match="fused model cannot get a new head"):
            keras_crate.fuse(model).reset_classifier(3)

    @pytest.mark.any_backend
    def test_another_head_of_a_quantised_model_is_trained(self):
        model = self.build()
        model.freeze_backbone()
        model.get_layer("head").trainable = False
        model.quantize("int8")
        head = model.reset_classifier(3).get_classifier()
        assert head.trainable and head.quantization_mode is None
        assert np.abs(keras.ops.convert_to_numpy(head.kernel)).max() > 0

    # Fused

    def trained(self, **overrides):
        """A model whose normalisations and biases are no longer at their initial values."""
        return disturb(self.build(classifier_activation=None, **overrides))

    @pytest.mark.parametrize(
        "options",
        [
            {"pooling": "avg", "dropout_rate": 0.1, "drop_path_rate": 0.2, "layer_scale": 0.1},
            pytest.param({"include_preprocessing": False}, marks=COMPILES_LONG),
            pytest.param(
                {"input_shape": (3, 16, 24), "patch_size": (8, 4), "data_format": "channels_first"},
                marks=COMPILES_LONG,
            ),
        ],
    )
    def test_fused_is_the_same_function(self, options):
        model = self.trained(**options)
        before = model.get_weights()
        images = self.images(shape=model.input_shape[1:])
        expected = model.predict(images, verbose=0)
        fused = keras_crate.fuse(model)
        assert type(fused) is type(model) and fused.name == model.name
        found = fused.predict(images, verbose=0)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        norms = [x for x in fused.layers if x.name in ("block_0_norm_1", "head_norm")]
        assert not any(norm.weights for norm in norms)
        assert not [x.name for x in fused.layers if "drop" in x.name]

    def test_fused_survives_saving_and_int8(self, tmp_path):
        fused = keras_crate.fuse(self.trained())
        images = self.images()
        expected = outputs(fused, images)
        for form in ("keras", "weights"):
            again = self.reloaded(fused, tmp_path, form)
            np.testing.assert_array_equal(outputs(again, images), expected)
        fused.quantize("int8")
        rounded = outputs(fused, images)
        assert 0 < np.abs(rounded - expected).max() < 0.05 * np.abs(expected).max()
        same = fused.with_input_shape((16, 16, 3))
        assert_close(outputs(same, images), rounded, atol=1e-6)
        for _ in range(2):
            fused = self.reloaded(fused, tmp_path, "keras")
            assert_close(outputs(fused, images), rounded, atol=1e-6)

    @compiles_long
    def test_fused_is_the_same_white_box(self):
        model = self.trained()
        fused = keras_crate.fuse(model)
        images = self.images()
        for convention in ("authors", "paper"):
            measured = [
                keras_crate.objective.measure(m, images, convention=convention).to_dict()
                for m in (model, fused)
            ]
            assert measured[0].keys() == measured[1].keys()
            for name, values in measured[0].items():
                if isinstance(values, list):
                    np.testing.assert_allclose(measured[1][name], values, rtol=1e-4, atol=1e-4)
        looked = [
            keras_crate.interpret.intermediates(m, images, what="keys") for m in (model, fused)
        ]
        for old, new in zip(*looked, strict=True):
            assert_close(new, old, atol=1e-5)
        looked = [keras_crate.interpret.attention_maps(m, images) for m in (model, fused)]
        assert_close(looked[1], looked[0], atol=1e-5)

    # Rematerialisation

    @pytest.mark.parametrize(
        "policy", ["float32", pytest.param("mixed_bfloat16", marks=COMPILES_LONG)]
    )
    def test_rematerialised_trains_alike_and_survives_loading_and_cloning(self, policy, tmp_path):
        losses = []
        images, labels = self.images(8), np.arange(8) % 5
        for rematerialise in (False, True):
            keras.utils.set_random_seed(3)
            model = self.build(rematerialise=rematerialise, dtype=policy)
            if rematerialise:
                model = self.reloaded(model, tmp_path, "keras")
                assert model.settings.rematerialise
                for kept in (model, keras.models.clone_model(model)):
                    inside = [x for x in kept.layers if x.name in self.operators]
                    assert len(inside) == 2 and all(x.rematerialise for x in inside)
                    assert all(x._remat_mode for x in inside)  # Keras' own record
            model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
            history = model.fit(images, labels, epochs=3, shuffle=False, verbose=0)
            losses.append(history.history["loss"])
        assert_close(losses[1], losses[0], atol=1e-5 if policy == "float32" else 2e-3)
        assert losses[0][2] < losses[0][0]

    @pytest.mark.any_backend
    def test_rematerialised_dropout_is_refused(self):
        with pytest.raises(ValueError, match=r"rematerialise=True, dropout_rate=0\.1"):
            self.build(rematerialise=True, dropout_rate=0.1)
        self.build(rematerialise=True, drop_path_rate=0.1)

    # Weights files

    def test_weights_file(self, tmp_path):
        model = self.build()
        images = self.images()
        for name in ("a.keras", "a.weights.h5"):
            model.save(tmp_path / name) if "weights" not in name else model.save_weights(
                tmp_path / name
            )
            other = self.build()
            load_weights(other, tmp_path / name)
            np.testing.assert_array_equal(outputs(other, images), outputs(model, images))

    def test_weights_file_for_another_grid(self, tmp_path):
        model = self.build()
        model.save(tmp_path / "a.keras")
        other = self.build(input_shape=(24, 32, 3))
        with pytest.warns(UserWarning, match=r"grid of \(2, 2\) patches"):
            load_weights(other, tmp_path / "a.keras")
        images = self.images(shape=(24, 32, 3))
        expected = outputs(model.with_input_shape((24, 32, 3)), images)
        assert_close(outputs(other, images), expected, atol=1e-6)

    @pytest.mark.any_backend
    def test_weights_file_for_other_classes(self, tmp_path):
        model = self.build()
        model.save(tmp_path / "a.keras")
        other = self.build(classes=7)
        head = other.get_layer("head").get_weights()
        with pytest.warns(UserWarning, match="no head for this model's 7 classes"):
            load_weights(other, tmp_path / "a.keras")
        for before, after in zip(head, other.get_layer("head").get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
        features = self.build(include_top=False)
        load_weights(features, tmp_path / "a.keras")
        images = self.images()
        inside = keras.Model(other.input, other.get_layer("pooling").output)
        expected = outputs(features, images)
        np.testing.assert_array_equal(outputs(inside, images), expected)

    @pytest.mark.any_backend
    @pytest.mark.parametrize("change", ["lora", "int8"])
    def test_weights_file_of_an_adapted_or_quantised_model(self, change, tmp_path):
        model = self.build()
        model.enable_lora(2) if change == "lora" else model.quantize("int8")
        model.save(tmp_path / "a.keras")
        model.save_weights(tmp_path / "a.weights.h5")
        images = self.images()
        for name in ("a.keras", "a.weights.h5"):
            if change == "int8":
                with pytest.raises(ValueError, match=r"type int8.*keras.saving.load_model"):
                    load_weights(self.build(), tmp_path / name)
                continue
            other = self.build()  # the file holds the merged adapters
            load_weights(other, tmp_path / name)
            expected = model.predict(images, verbose=0)
            assert_close(other.predict(images, verbose=0), expected, atol=1e-6)

    @pytest.mark.any_backend
    def test_weights_file_without_a_head(self, tmp_path):
        features = self.build(include_top=False)
        features.save(tmp_path / "a.keras")
        model = self.build()
        with pytest.warns(UserWarning, match="no head for this model's 5 classes"):
            load_weights(model, tmp_path / "a.keras")
        inside = keras.Model(model.input, model.get_layer("pooling").output)
        expected = outputs(features, self.images())
        np.testing.assert_array_equal(outputs(inside, self.images()), expected)

    @pytest.mark.any_backend
    def test_weights_file_of_other_settings(self, tmp_path):
        self.build(penalty=0.5, mean=0.5, std=0.5).save(tmp_path / "a.keras")
        with pytest.warns(UserWarning, match=r"penalty=0.5 there and 0.1 here, mean=0.5 there"):
            load_weights(self.build(penalty=0.1), tmp_path / "a.keras")

    @pytest.mark.any_backend
    def test_weights_file_of_a_wrapper(self, tmp_path):
        wrapper = keras.Sequential([keras.Input((16, 16, 3)), self.build()])
        wrapper.save(tmp_path / "a.keras")
        with pytest.raises(ValueError, match=r"holds a model inside another.*`get_layer`"):
            load_weights(self.build(), tmp_path / "a.keras")

    @pytest.mark.any_backend
    def test_weights_file_of_another_size(self, tmp_path):
        self.build(**self.bigger).save(tmp_path / "a.keras")
        model = self.build()
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"another model: (.|\n)*First difference"):
            load_weights(model, tmp_path / "a.keras")
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    # Bad input

    @pytest.mark.any_backend
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"input_shape": (20, 16, 3)}, r"height must be divisible.*height 20"),
            ({"input_shape": (16, 20, 3)}, r"width must be divisible.*width 20"),
            ({"input_shape": (16, 16)}, r"`input_shape` must be three positive integers"),
            ({"input_shape": (None, 16, 3)}, r"`input_shape` must be three positive integers"),
            ({"input_shape": (16, 16, 2**31)}, r"at most 89,478,485 pixels and 65,535 channels"),
            ({"patch_size": 0}, r"`patch_size` must be a positive integer or a pair"),
            ({"pooling": "mean"}, r'`pooling` must be "token".*pooling=\'mean\''),
            ({"pooling": None}, r"`pooling` must be .*include_top=True"),
            ({"classifier_activation": "sofmax"}, r"`classifier_activation` must be .*'sofmax'"),
            ({"classifier_activation": []}, r"`classifier_activation` must be .*\[\]"),
            ({"class_names": ["a", "b"]}, r"2 names for classes=5"),
            ({"class_names": "imagenet"}, r"1000 names for classes=5"),
            ({"class_names": "cifar"}, r"`class_names` must be a sequence .*'cifar'"),
            ({"classes": 0}, r"`classes` must be a positive integer"),
            ({"dropout_rate": 1.0}, r"`dropout_rate` must be in \[0, 1\)"),
            ({"drop_path_rate": -0.1}, r"`drop_path_rate` must be in \[0, 1\)"),
            ({"dropout_rate": "a"}, r"`dropout_rate` must be in .*'a'"),
            ({"drop_path_rate": None}, r"`drop_path_rate` must be in .*None"),
            ({"step_size": "a"}, r"`step_size` must be a number above 0.*'a'"),
            ({"penalty": None}, r"`penalty` must be a number of 0 or more.*None"),
            ({"layer_scale": True}, r"`layer_scale` must be a number above 0.*True"),
            ({"layer_scale": 0}, r"`layer_scale` must be a number above 0.*0"),
            ({"step_size": 0}, r"`step_size` must be a number above 0"),
            ({"penalty": -1}, r"`penalty` must be a number of 0 or more"),
            ({"heads": 5}, r"`dim` must be divisible by `heads`.*dim=24, heads=5.*\[1, 2, 3, 4, 6"),
            ({"heads": 0}, r"`heads` must be a positive integer"),
            ({"registers": -1}, r"`registers` must be an integer of 0 or more.*-1"),
            ({"depth": 0}, r"`depth` must be a positive integer"),
            ({"dim": 24.0}, r"`dim` must be a positive integer"),
            ({"mean": [0.5]}, r"Give `mean` and `std`"),
            ({"mean": [0.5, 0.5], "std": 1.0}, r"`mean` must be a number or one for each of the 3"),
            ({"mean": 0.5, "std": 0.0}, r"`std` must be above 0"),
            ({"include_preprocessing": False, "mean": 0.5, "std": 0.5}, r"belong to the preproc"),
            (
                {"include_preprocessing": "no"},
                r"`include_preprocessing` must be True or False.*'no'",
            ),
            ({"weights": True}, r"`weights` must be a name, a path.*Received: weights=True"),
            ({"data_format": "NHWC"}, r"`data_format` must be one of 'channels_last'.*'NHWC'"),
        ],
    )
    def test_refuses_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            self.build(**arguments)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((16, 16, 3), r"one image: pass `images\[None\]`"),
            ((2, 16, 16), r"rank 4; these have rank 3"),
            ((2, 3, 16, 16), r"another order: transpose"),
            ((2, 16, 16, 1), r"grey image becomes colour"),
            ((2, 32, 32, 3), r"with_input_shape"),
        ],
    )
    def test_refuses_images_of_another_shape(self, shape, message):
        model = self.build()
        for call in (model, model.predict_on_batch):
            with pytest.raises(ValueError, match=r"\(batch, 16, 16, 3\).*" + message):
                call(np.zeros(shape, "float32"))

    @pytest.mark.any_backend
    def test_refuses_pixels_that_are_not_numbers(self):
        model = self.build()
        model.compile("sgd", "sparse_categorical_crossentropy")
        images = self.images(4)
        images[2, 0, 0, 0] = np.nan
        for run in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match=r"1 of 4 images .* NaN or infinite, at index 2"):
                run(images, np.zeros(4), verbose=0)
        with pytest.raises(ValueError, match=r"1 of 4 images .* NaN or infinite, at index 2"):
            model.predict(images, verbose=0)

    @pytest.mark.any_backend
    def test_refuses_no_images(self):
        model = self.build()
        model.compile("sgd", "sparse_categorical_crossentropy")
        none = self.images(4)[:0]
        for run in (model.fit, model.evaluate, model.predict):
            labels = () if run == model.predict else (np.zeros(0),)
            with pytest.raises(ValueError, match="at least one image"):
                run(none, *labels, verbose=0)

    @pytest.mark.any_backend
    def test_refuses_a_list_of_images(self):
        with pytest.raises(ValueError, match=r"one array of images.*list of 3.*numpy.stack"):
            self.build()(list(self.images()))

    @pytest.mark.any_backend
    def test_evaluates_metrics_that_are_vectors(self):
        model = self.build()
        f1 = keras.metrics.F1Score(average=None)
        model.compile("sgd", "categorical_crossentropy", metrics=[f1])
        for as_dict in (True, False):
            model.evaluate(self.images(5), np.eye(5), verbose=0, return_dict=as_dict)

    @pytest.mark.any_backend
    def test_says_so_when_a_data_set_gives_nan(self):
        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 1

            def __getitem__(_, index):
                return np.full((4, 16, 16, 3), np.nan, "float32"), np.zeros(4)

        model = self.build()
        model.compile("sgd", "sparse_categorical_crossentropy")
        with pytest.warns(UserWarning, match="metric that is NaN: pixels or weights"):
            model.evaluate(Batches(), verbose=0)

    @pytest.mark.any_backend
    def test_refuses_another_number_of_channels_for_with_input_shape(self):
        with pytest.raises(ValueError, match=r"for 3 channels.*Pass channels"):
            self.build().with_input_shape((16, 16, 1))
