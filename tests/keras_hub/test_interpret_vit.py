"""Looking inside KerasHub's vision transformers, against their own layers and NumPy."""

import keras
import numpy as np
import pytest
from compare import assert_close

hub = pytest.importorskip("keras_hub.models")

from tiny_vits import PREFIX, encoder_layers, tiny_backbone  # noqa: E402

from keras_crate import interpret  # noqa: E402
from keras_crate.models.view_of import view_of  # noqa: E402


def _scores(model, images):
    return interpret.attention_maps(model, images, [0, 1], token=None)


def test_a_block_recomputed_from_the_scores_gives_its_tokens(model, images):
    """`Z + LN(Z) V_k A_k O_k`, and the second half by KerasHub's layers."""
    before, after = interpret.intermediates(model, images)
    block = encoder_layers(model)[1]
    is_dinov2 = "DINOV2" in type(model).__name__
    attention = block.attention.attention if is_dinov2 else block.mha
    (_, _, _, _, value, value_bias, out, out_bias) = attention.get_weights()
    norms = (block.norm1, block.norm2) if is_dinov2 else (block.layer_norm_1, block.layer_norm_2)

    def call(layer, *tokens):
        return keras.ops.convert_to_numpy(layer(*map(keras.ops.convert_to_tensor, tokens)))

    values = np.einsum("bnd,dhp->bhnp", call(norms[0], before), value) + value_bias[:, None]
    heads = _scores(model, images)[1] @ values
    attended = np.einsum("bhnp,hpd->bnd", heads, out) + out_bias
    if is_dinov2:
        half = before + attended * block.layer_scale1.get_weights()[0]
        second = call(block.mlp, call(norms[1], half)) * block.layer_scale2.get_weights()[0]
    else:
        half = before + attended
        second = call(block.mlp, call(norms[1], half))
        if hasattr(block, "output_layer"):  # of a DeiT, which adds the tokens
            second = call(block.output_layer.dense, second)
    assert_close(half + second, after, atol=2e-5)
    view = view_of(model)
    shown = keras.Model(view.images, view.blocks[1].half_step).predict(images, verbose=0)
    assert_close(shown, half, atol=2e-5)
    last = call(model.layers[-1] if is_dinov2 else model.layers[-1].layer_norm, after)
    assert_close(last, model.predict(images, verbose=0), atol=2e-5)


@pytest.mark.any_backend
def test_maps_leave_class_distillation_and_register_tokens_out(model, images):
    prefix, rows = PREFIX[type(model).__name__], 4
    columns = model.image_shape[1] // 8
    scores = _scores(model, images)
    assert scores[0].shape == (3, 2, *[prefix + rows * columns] * 2)
    assert_close(scores[1].sum(axis=-1), np.ones(scores[1].shape[:-1]), atol=1e-5)
    maps = interpret.attention_maps(model, images)
    expected = scores[1][:, :, 0, prefix:].reshape(3, 2, rows, columns)
    assert maps.shape == expected.shape
    assert_close(maps, expected, atol=1e-6)
    mixed = [0.5 * s.mean(axis=1) + 0.5 * np.eye(s.shape[-1]) for s in scores]
    flow = (mixed[1] @ mixed[0])[:, 0, prefix:].reshape(3, rows, columns)
    assert_close(interpret.rollout(model, images), flow, atol=1e-6)
    tokens, features = (
        interpret.intermediates(model, images, [1], w)[0] for w in ("tokens", "map")
    )
    assert_close(features[:, 1, 2], tokens[:, prefix + columns + 2], atol=1e-6)
    if prefix < 4:  # one model is enough for what follows from the map
        return
    assert interpret.token_pca(model, images).rgb.shape == (3, rows, columns, 3)
    assert interpret.segment(model, images).shape == (3, rows, columns)


def test_scores_are_the_softmax_of_queries_and_keys(model, images):
    view = view_of(model)
    (keys,) = interpret.intermediates(model, images, [0], "keys")
    inputs = keras.Model(view.images, view.blocks[0].inputs).predict(images, verbose=0)
    kernel, bias, *_ = view.blocks[0].attention.layer.get_weights()
    queries = np.einsum("bd,dhp->bhp", inputs[:, 0], kernel) + bias
    products = np.einsum("bhp,bnhp->bhn", queries, keys.reshape(3, -1, 2, 8)) / np.sqrt(8)
    scores = np.log(interpret.attention_maps(model, images, 0).reshape(3, 2, -1))
    # The softmax also runs over the tokens that are left out.
    assert_close(np.diff(scores), np.diff(products), atol=1e-3)


@pytest.mark.any_backend
def test_a_pyramid_of_features(model, images, tmp_path):
    pyramid = interpret.feature_pyramid(model, scales=[2, 1])
    found = pyramid.predict(images, verbose=0)
    (expected,) = interpret.intermediates(model, images, [1], "map")
    assert_close(found["block_1"], expected, atol=1e-5)
    assert found["block_0"].shape == (3, 8, 2 * expected.shape[2], 16)
    with pytest.raises(NotImplementedError, match="Save the weights with `save_weights`"):
        pyramid.save(tmp_path / "pyramid.keras")
    pyramid.save_weights(tmp_path / "pyramid.weights.h5")
    other = interpret.feature_pyramid(tiny_backbone(type(model).__name__), scales=[2, 1])
    other.set_weights([0 * w for w in other.get_weights()])
    other.load_weights(tmp_path / "pyramid.weights.h5")
    assert_close(other.predict(images, verbose=0)["block_0"], found["block_0"], atol=1e-5)


def test_a_classifier_prepares_images_as_it_does_to_predict(rng):
    import keras_hub

    model = tiny_backbone("ViTBackbone")
    converter = keras_hub.layers.ViTImageConverter(image_size=(32, 24), scale=1 / 127, offset=-1)
    preprocessor = hub.ViTImageClassifierPreprocessor(image_converter=converter)
    classifier = hub.ViTImageClassifier(model, 3, preprocessor=preprocessor)
    pixels = rng.uniform(0, 255, (3, 40, 50, 3)).astype("float32")
    prepared = keras.ops.convert_to_numpy(preprocessor(pixels))
    found = interpret.attention_maps(classifier, pixels)
    assert_close(found, interpret.attention_maps(model, prepared), atol=1e-6)
    bare = hub.ViTImageClassifier(model, 3)
    assert_close(interpret.attention_maps(bare, prepared), found, atol=1e-6)
    with pytest.raises(ValueError, match=r"\(batch, 32, 24, 3\). Received: .*40, 50.*image_shape="):
        interpret.attention_maps(bare, pixels)


@pytest.mark.any_backend
def test_without_a_class_token(rng):
    model = tiny_backbone("ViTBackbone", use_class_token=False)
    images = rng.uniform(-1, 1, (2, 32, 24, 3)).astype("float32")
    assert interpret.attention_maps(model, images, token=11).shape == (2, 2, 4, 3)
    with pytest.raises(ValueError, match=r"`token` must be from 0 to 11, or None.*token=12"):
        interpret.attention_maps(model, images, token=12)
    with pytest.raises(ValueError, match="Rollout needs a class token"):
        interpret.rollout(model, images)


@pytest.mark.any_backend
def test_names_weights_that_are_not_finite(images, model):
    broken = tiny_backbone(type(model).__name__)
    weights = broken.get_weights()
    broken.set_weights([*weights[:-1], weights[-1] * np.nan])  # of the last normalisation
    interpret.rollout(broken, images)  # which nothing reads
    broken.set_weights([w * np.nan if w.shape == (16, 2, 8) else w for w in weights])
    with pytest.raises(
        ValueError, match=r"first in the output of layer '.*encoder' .*value/kernel"
    ):
        interpret.rollout(broken, images)


@pytest.mark.any_backend
def test_other_backbones_are_refused(rng):
    model = hub.VGGBackbone(stackwise_num_repeats=[1], stackwise_num_filters=[4])
    with pytest.raises(ValueError, match=r"KerasHub's ViTBackbone.*your own ViT as an.*ModelView"):
        interpret.intermediates(model, rng.uniform(0, 1, (1, 32, 32, 3)))
