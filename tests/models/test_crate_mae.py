import inspect

import keras
import numpy as np
import pytest
from authors import golden, images_of, load_mae_state, state_of
from compare import assert_close, outputs
from family import FamilyChecks

import keras_crate
from keras_crate import CRATEMAE, CRATEMAEEncoder, objective
from keras_crate.layers.patch_embedding import cut_patches
from keras_crate.weights.sizes import SIZES


def _model(**overrides):
    small = {"input_shape": (16, 24, 3), "patch_size": 8, "seed": 0}
    return CRATEMAE(24, 2, 2, **{**small, **overrides})


def _images(batch=4, shape=(16, 24, 3)):
    return np.random.default_rng(1).uniform(0, 255, (batch, *shape)).astype("float32")


def _noise(images=4, patches=6):
    return np.random.default_rng(2).uniform(size=(images, patches)).astype("float32")


@pytest.fixture(scope="module")
def micro():
    arrays = golden("crate_mae_micro")
    model = CRATEMAE(48, 2, 4, input_shape=(32, 32, 3), patch_size=8, include_preprocessing=False)
    load_mae_state(model, state_of(arrays))
    return model, images_of(arrays), arrays


# Exactness


def test_golden(micro):
    model, images, arrays = micro
    outputs = model.predict_with_noise(images, arrays["noise"])
    np.testing.assert_array_equal(outputs["mask"], arrays["mask"])
    assert_close(outputs["patches"], arrays["pred_patches"], atol=2e-5)
    assert_close(outputs["latent"], arrays["latent"], atol=2e-5)
    loss = model.compute_loss(x=images, y_pred=outputs)
    assert_close(loss, arrays["loss"], atol=1e-6)


def test_regularizers_add_to_the_loss():
    model, images = _model(), _images()
    predicted = model.predict_with_noise(images, _noise())
    without = model.compute_loss(x=images, y_pred=predicted)
    scale = model.get_layer("decoder_norm").gamma
    scale.regularizer = keras.regularizers.L2(0.5)
    with_one = model.compute_loss(x=images, y_pred=predicted)
    expected = 0.5 * np.sum(keras.ops.convert_to_numpy(scale) ** 2)
    assert_close(with_one - without, expected, atol=1e-4)


def test_loss_of_normalised_patches(micro):
    _, images, arrays = micro
    model = CRATEMAE(
        48, 2, 4, input_shape=(32, 32, 3), patch_size=8, include_preprocessing=False,
        norm_pix_loss=True,
    )  # fmt: skip
    load_mae_state(model, state_of(arrays))
    images = np.concatenate([images[:1], 1e-3 * images[1:]])  # the guard matters in flat patches
    outputs = model.predict_with_noise(images, arrays["noise"])
    target = images.reshape(2, 4, 8, 4, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 16, 192)
    mean, variance = target.mean(axis=-1), target.var(axis=-1, ddof=1)
    target = (target - mean[..., None]) / np.sqrt(variance[..., None] + 1e-6)
    errors = ((outputs["patches"] - target) ** 2).mean(axis=-1)
    expected = errors[arrays["mask"] == 1].mean()
    assert_close(model.compute_loss(x=images, y_pred=outputs), expected, atol=1e-5)


@pytest.mark.any_backend
def test_sizes_count_by_their_blocks():
    """And by what the authors count beside: two tensors no pass uses."""
    for name in ("CRATEMAETiny", "CRATEMAESmall", "CRATEMAEBase", "CRATEMAELarge"):
        size = SIZES[name]
        one, two = (CRATEMAE(size.dim, n, size.heads).count_params() for n in (1, 2))
        assert one + (size.depth - 1) * (two - one) == size.parameters
    assert keras_crate.CRATEMAETiny().count_params() == SIZES["CRATEMAETiny"].parameters
    micro = golden("crate_mae_micro")
    unused = ("state/pos_embed", "state/decoder_embed.weight", "state/decoder_embed.bias")
    used = sum(v.size for k, v in micro.items() if k.startswith("state/") and k not in unused)
    assert CRATEMAE(48, 2, 4, input_shape=(32, 32, 3), patch_size=8).count_params() == used


@pytest.mark.any_backend
def test_epsilons_are_the_authors():
    norms = [x for x in _model().layers if isinstance(x, keras.layers.LayerNormalization)]
    epsilons = {norm.name: norm.epsilon for norm in norms}
    assert len(epsilons) == 2 * 2 * 2 + 2
    assert epsilons.pop("encoder_norm") == epsilons.pop("decoder_norm") == 1e-6
    assert set(epsilons.values()) == {1e-5}


def test_initial_values_are_the_authors():
    model = _model()
    token = model.get_layer("token_embedding")
    assert not token.positions.trainable and token.class_token.trainable
    for dense in model._flatten_layers():
        if isinstance(dense, keras.layers.Dense) and dense.use_bias:
            assert not keras.ops.convert_to_numpy(dense.bias).any()
    model = CRATEMAE(64, 1, 4, input_shape=(16, 24, 3), patch_size=8)
    bounds = {
        "block_0_mssa": np.sqrt(6 / 128),  # Xavier-uniform of 64 x 64
        "decoder_prediction": np.sqrt(6 / (64 + 192)),
        "patch_embedding": np.sqrt(6 / (64 + 192)),
        "block_0_ista": np.sqrt(6 / 64),  # He-uniform
        "decoder_block_0_dictionary": np.sqrt(6 / 64),
    }
    for name, bound in bounds.items():
        kernel = model.get_layer(name).get_weights()[0]
        assert 0.95 * bound < np.abs(kernel).max() <= bound, name
    for name in ("token_embedding", "patch_masking"):
        token = model.get_layer(name).get_weights()[0]
        assert 0.012 < token.std() < 0.03


# Masks


def test_same_seed_same_masks():
    images = _images()
    masks = [
        [model.predict(images, verbose=0)["mask"] for _ in range(2)]
        for model in (_model(seed=1), _model(seed=1), _model(seed=2))
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0][0] != masks[0][1]).any()  # another mask at each call
    assert (masks[0][0] != masks[2][0]).any()
    assert (np.array(masks).sum(axis=-1) == 5).all()  # of 6 patches, int(6 / 4) is seen


def test_hidden_pixels_do_not_reach_the_prediction():
    model, images, noise = _model(), _images(), _noise()
    before = model.predict_with_noise(images, noise)
    hidden = before["mask"].reshape(4, 2, 3).repeat(8, axis=1).repeat(8, axis=2)[..., None] > 0
    after = model.predict_with_noise(np.where(hidden, 0, images).astype("float32"), noise)
    np.testing.assert_array_equal(after["patches"], before["patches"])
    other = model.predict_with_noise(np.where(hidden, images, 0).astype("float32"), noise)
    assert np.abs(other["patches"] - before["patches"]).max() > 1e-3


# Training


@pytest.mark.parametrize("labels", [False, True])
def test_fit_takes_no_labels(labels):
    keras.utils.set_random_seed(0)
    model = _model(mask_ratio=0.5)
    # Images that can be completed: one grey value each.
    rng = np.random.default_rng(0)
    images = np.broadcast_to(rng.uniform(0, 255, (16, 1, 1, 1)), (16, 16, 24, 3)).copy()
    model.compile(keras.optimizers.Adam(3e-3))
    data = (images, np.zeros(16)) if labels else (images,)
    history = model.fit(*data, epochs=20, batch_size=16, verbose=0, validation_data=data)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    assert history.history["val_loss"][-1] < 0.7 * history.history["val_loss"][0]
    loss = model.evaluate(images, verbose=0)
    assert 0 < loss < history.history["loss"][0]


def test_fit_passes_sample_weights_on():
    model, images = _model(), _images()
    model.compile("sgd")
    nothing = np.zeros(4)
    assert model.fit(images, sample_weight=nothing, verbose=0).history["loss"] == [0]
    assert model.evaluate(images, sample_weight=nothing, verbose=0) == 0
    assert model.evaluate(images, verbose=0) > 0


def test_sample_weights_weigh_images():
    model, images, noise = _model(), _images(), _noise()
    outputs = model.predict_with_noise(images, noise)
    losses = [
        float(model.compute_loss(x=images, y_pred=outputs, sample_weight=4 * weight))
        for weight in np.eye(4)
    ]
    assert_close(np.mean(losses), model.compute_loss(x=images, y_pred=outputs), atol=1e-5)


def test_float16_trains_with_scaled_losses():
    model = _model(dtype="mixed_float16")
    model.compile("adam")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = model.fit(_images(), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    outputs = model.predict(_images(), verbose=0)
    assert all(value.dtype == "float32" for value in outputs.values())


# Reconstruction


@pytest.mark.parametrize("norm_pix_loss", [False, True])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_reconstruct(norm_pix_loss, data_format):
    first = data_format == "channels_first"
    model = _model(
        norm_pix_loss=norm_pix_loss,
        data_format=data_format,
        input_shape=(3, 16, 24) if first else (16, 24, 3),
    )
    images, noise = _images(), _noise()
    given = images.transpose(0, 3, 1, 2) if first else images
    result = model.reconstruct(given, noise)
    *pictures, _ = result
    masked, reconstruction, pasted = (x.transpose(0, 2, 3, 1) if first else x for x in pictures)
    for pictures in (masked, reconstruction, pasted):
        assert pictures.shape == images.shape and pictures.dtype == "float32"
        assert pictures.min() >= 0 and pictures.max() <= 255
    hidden = result.mask.repeat(8, axis=1).repeat(8, axis=2) > 0
    assert result.mask.shape == (4, 2, 3) and hidden.mean() == 5 / 6
    assert_close(masked[~hidden], images[~hidden], atol=1e-3)
    assert_close(pasted[~hidden], images[~hidden], atol=1e-3)
    assert_close(pasted[hidden], reconstruction[hidden], atol=1e-3)
    mean = 255 * np.array([0.485, 0.456, 0.406])
    assert_close(masked[hidden], np.broadcast_to(mean, masked[hidden].shape), atol=1e-3)
    # What the network says, undone by hand.
    outputs = model.predict_with_noise(given, noise)["patches"].astype("float64")
    normalised = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    target = normalised.reshape(4, 2, 8, 3, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(4, 6, 192)
    if norm_pix_loss:
        variance = target.var(axis=-1, ddof=1, keepdims=True)
        outputs = outputs * np.sqrt(variance + 1e-6) + target.mean(axis=-1, keepdims=True)
    pixels = outputs.reshape(4, 2, 3, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(4, 16, 24, 3)
    pixels = 255 * (pixels * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406])
    assert_close(reconstruction, np.clip(pixels, 0, 255), atol=0.01)


@pytest.mark.any_backend
def test_reconstructed_pixels_are_pixels():
    model, images = _model(), _images()
    kernel, bias = model.get_layer("decoder_prediction").get_weights()
    model.get_layer("decoder_prediction").set_weights([100 * kernel, bias])
    pictures = model.reconstruct(images, _noise()).reconstruction
    assert pictures.min() == 0 and pictures.max() == 255


@pytest.mark.any_backend
def test_reconstruct_without_preprocessing_keeps_the_range(micro):
    model, images, arrays = micro
    result = model.reconstruct(images, arrays["noise"])
    seen = arrays["mask"].reshape(2, 4, 4).repeat(8, axis=1).repeat(8, axis=2) == 0
    np.testing.assert_array_equal(result.pasted[seen], images[seen])
    patches = cut_patches(
        keras.ops.convert_to_tensor(result.reconstruction), (8, 8), "channels_last"
    )
    assert_close(patches, arrays["pred_patches"], atol=2e-5)


# The encoder


def test_encoder_has_the_latent_of_unmasked_images(micro):
    model, images, _ = micro
    encoder = model.encoder(pooling=None)
    everything = CRATEMAE(
        48, 2, 4, input_shape=(32, 32, 3), patch_size=8, include_preprocessing=False,
        mask_ratio=0.06,  # hides one patch of 16
    )  # fmt: skip
    everything.set_weights(model.get_weights())
    patches = model.get_layer("patch_embedding").output
    inside = outputs(keras.Model(model.input, patches), images)
    everything.get_layer("patch_masking").mask_token.assign(inside[:1, 3:4])
    noise = np.arange(16)[None] == 3  # and puts it back
    expected = everything.predict_with_noise(images[:1], noise.astype("float32"))["latent"]
    assert_close(outputs(encoder, images[:1]), expected, atol=2e-5)
    features = outputs(model.encoder(), images)
    assert_close(features[:1], expected[:, 0], atol=2e-5)


def test_encoder_starts_a_classifier(tmp_path):
    mae = _model()
    images, labels = _images(6), np.arange(6) % 3
    classifier = mae.encoder(include_top=True, classes=3, class_names=list("abc"))
    features = keras.Model(classifier.input, classifier.get_layer("pooling").output)
    expected = outputs(mae.encoder(), images)
    assert_close(outputs(features, images), expected, atol=1e-6)
    for layer in classifier.layers:
        layer.trainable = layer.name == "head"
    classifier.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    classifier.fit(images, labels, verbose=0)
    assert_close(outputs(features, images), expected, atol=1e-6)  # a linear probe
    for layer in classifier.layers:
        layer.trainable = True
    classifier.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    classifier.fit(images, labels, verbose=0)
    assert np.abs(outputs(features, images) - expected).max() > 1e-3
    assert_close(outputs(mae.encoder(), images), expected, atol=1e-6)  # a copy
    classifier.save(tmp_path / "c.keras")
    again = keras.saving.load_model(tmp_path / "c.keras")
    assert again.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(outputs(again, images), outputs(classifier, images))


@pytest.mark.any_backend
def test_is_measured():
    images = _images()
    model = _model()
    measured = objective.measure(model.encoder(), images)
    assert len(measured.coding_rate_mean) == 2
    assert all(0.2 < zeros < 0.95 for zeros in measured.sparsity_mean)
    with pytest.raises(ValueError, match="hides patches at random"):
        objective.measure(model, images)


# Saving


@pytest.mark.parametrize("change", ["none", "lora", "int8"])
def test_round_trip(change, tmp_path):
    model = _model(
        patch_size=(8, 4), dropout_rate=0.1, drop_path_rate=0.1, layer_scale=0.1, mean=0.4, std=0.3,
        norm_pix_loss=True, mask_ratio=0.5,
    )  # fmt: skip
    images, noise = _images(), _noise(4, 12)
    before = model.predict_with_noise(images, noise)["patches"]
    if change == "lora":
        model.enable_lora(2)
        # Of each block four matrices in the encoder's and decoder's MSSA, and two dictionaries.
        assert sum("lora" in w.path for w in model.trainable_weights) == 2 * 2 * (4 + 2)
        model.compile("adam")
        model.fit(images, verbose=0)
    if change == "int8":
        model.quantize("int8")
    expected = model.predict_with_noise(images, noise)["patches"]
    assert (np.abs(expected - before).max() > 1e-6) == (change != "none")
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert_close(again.predict_with_noise(images, noise)["patches"], expected, atol=1e-6)
    assert again.settings == model.settings
    encoder = again.encoder()  # as it was adapted or quantised
    assert ("int8" in {str(w.dtype) for w in encoder.weights}) == (change == "int8")
    if change == "none":
        model.save_weights(tmp_path / "m.weights.h5")
        loaded = CRATEMAE(**{**model.get_config(), "weights": tmp_path / "m.weights.h5"})
        assert_close(loaded.predict_with_noise(images, noise)["patches"], expected, atol=1e-6)


def test_with_input_shape():
    model = _model()
    larger = model.with_input_shape((32, 24, 3))
    assert larger.predict(_images(shape=(32, 24, 3)), verbose=0)["patches"].shape == (4, 12, 192)
    assert not larger.get_layer("token_embedding").positions.trainable


@pytest.mark.any_backend
def test_weights_of_another_model_are_refused(tmp_path):
    classifier = _model().encoder(include_top=True, classes=3)
    classifier.save(tmp_path / "c.keras")
    with pytest.raises(ValueError, match="belong to another model"):
        _model(weights=tmp_path / "c.keras")
    model = _model(norm_pix_loss=True)
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="norm_pix_loss=True there and False here"):
        _model(weights=tmp_path / "m.keras")
    config = {k: v for k, v in classifier.get_config().items() if k != "layer_settings"}
    with pytest.raises(ValueError, match=r"a CRATEMAE. Load that, and take its `encoder"):
        CRATEMAEEncoder(**{**config, "weights": tmp_path / "m.keras"})


# Refusals


@pytest.mark.any_backend
@pytest.mark.parametrize("ratio", [0, 1, -0.5, 0.9])
def test_refuses_a_mask_of_all_or_nothing(ratio):
    with pytest.raises(ValueError, match=rf"`mask_ratio` must be in .*{ratio} with 6 patches"):
        _model(mask_ratio=ratio)


@pytest.mark.any_backend
def test_refuses_bad_arguments():
    for arguments, message in (
        ({"penalty": -1}, "`penalty` must be a number of 0 or more"),
        ({"heads": 5}, "`dim` must be divisible by `heads`"),
        ({"dim": 26}, "`dim` must be divisible by 4"),
        ({"mask_ratio": None}, "`mask_ratio` must be in"),
        (
            {"patch_size": 1, "input_shape": (4, 4, 1), "norm_pix_loss": True},
            "patches of more than one pixel",
        ),
        ({"input_shape": (15, 24, 3)}, "height must be divisible"),
        ({"drop_path_rate": 1}, "`drop_path_rate` must be in"),
    ):
        config = {**_model().get_config(), **arguments}
        with pytest.raises(ValueError, match=message):
            CRATEMAE(**config)


@pytest.mark.any_backend
def test_refuses_another_loss():
    for arguments in ({"loss": "mse"}, {"metrics": ["mae"]}, {"weighted_metrics": ["mae"]}):
        (name,) = arguments
        with pytest.raises(ValueError, match=f"its own loss: compile it without `{name}`"):
            _model().compile("adam", **arguments)


def test_a_compiled_model_survives_saving(tmp_path):
    model = _model()
    model.compile(keras.optimizers.Adam(0.001))
    model.fit(_images(), verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.optimizer.iterations == 1
    again.fit(_images(), verbose=0)


def test_refuses_bad_images_and_noise():
    model = _model()
    model.compile("adam")
    images = _images()
    with pytest.raises(ValueError, match=r"one image: pass `images\[None\]`"):
        model.reconstruct(images[0])
    with pytest.raises(ValueError, match=r"`noise` must have shape \(4, 6\).*\(4, 5\)"):
        model.reconstruct(images, _noise(4, 5))
    with pytest.raises(ValueError, match="with_input_shape"):
        model.predict_with_noise(images[:, :8], _noise(4, 3))
    with pytest.raises(ValueError, match="at least one image"):
        model.reconstruct(images[:0])
    with pytest.raises(ValueError, match=r"`dim` is that of the trained model"):
        model.encoder(dim=32)
    with pytest.raises(TypeError, match=r"no argument `poolin`. Did you mean 'pooling'"):
        model.encoder(poolin="avg")
    images[1] = np.nan
    for run in (model.fit, model.evaluate, model.reconstruct):
        with pytest.raises(ValueError, match="NaN or infinite, at index 1"):
            run(images)


@pytest.mark.any_backend
def test_constructors_take_what_the_class_takes():
    names = list(inspect.signature(keras_crate.CRATEMAEBase).parameters)
    assert names[:4] == ["weights", "input_shape", "patch_size", "include_preprocessing"]


class TestCRATEMAEEncoder(FamilyChecks):
    bigger = {"dim": 32}
    parameter_counts = ()
    golden_cases = ()

    def build(self, **overrides):
        small = {
            "dim": 24,
            "depth": 1,
            "heads": 2,
            "input_shape": (16, 16, 3),
            "patch_size": 8,
            "classes": 5,
        }
        return CRATEMAEEncoder(**{**small, **overrides})


@pytest.mark.any_backend
def test_registers():
    mae = _model(registers=2)
    outputs = mae.predict(_images(), verbose=0)
    assert outputs["patches"].shape[:2] == outputs["mask"].shape == (4, 6)
    assert outputs["latent"].shape[1] == 1 + 2 + 6
    assert mae.reconstruct(_images()).mask.shape == (4, 2, 3)
    ours, theirs = (m.get_layer("token_embedding").register_tokens for m in (mae, mae.encoder()))
    assert_close(ours, theirs, atol=0)
    assert mae.encoder(pooling=None).output_shape == (None, 9, 24)


def test_another_share_of_patches_can_be_hidden():
    model, images, noise = _model(), _images(), _noise()
    usual = model.predict_with_noise(images, noise)
    same = model.predict_with_noise(images, noise, mask_ratio=model.settings.mask_ratio)
    assert_close(same["patches"], usual["patches"], atol=1e-6)
    other = _model(mask_ratio=0.34)
    other.set_weights(model.get_weights())
    expected = other.predict_with_noise(images, noise)
    found = model.predict_with_noise(images, noise, mask_ratio=0.34)
    assert (found["mask"] == expected["mask"]).all() and (found["mask"] != usual["mask"]).any()
    assert_close(found["patches"], expected["patches"], atol=1e-5)
    assert model.reconstruct(images, mask_ratio=0.34).mask.sum() == expected["mask"].sum()
    with pytest.raises(ValueError, match=r"`mask_ratio` must be in .*0.99 with 6 patches"):
        model.reconstruct(images, mask_ratio=0.99)
