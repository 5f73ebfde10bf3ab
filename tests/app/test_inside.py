"""What is computed for the page, and drawn as HTML."""

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import dataclasses
import time

import keras
import numpy as np
from compare import assert_close
from example_modules import example_module

import keras_crate
from keras_crate import interpret, objective
from keras_crate.app import inside, pictures, plain_vit
from keras_crate.app.examples import example_images
from keras_crate.app.inside import Look
from keras_crate.app.models import FIRST, VIT, Models
from keras_crate.evaluation import Evaluation
from keras_crate.models.view_of import view_of

pytestmark = pytest.mark.any_backend
SHIRT = 3  # number of an example


@pytest.fixture(scope="module")
def models():
    return Models()


@pytest.fixture(scope="module")
def seen(models):
    return models.look(models.open(FIRST), example_images()[SHIRT])


def _crate(**options):
    return keras_crate.CRATE(
        24,
        2,
        2,
        input_shape=(16, 16, 1),
        patch_size=4,
        classes=2,
        class_names=["<b>", "&"],
        **options,
    )


def test_one_pass_gives_what_predict_interpret_and_measure_give(models, seen, tmp_path):
    model = keras_crate.load(FIRST)
    file = tmp_path / "shirt.png"
    file.write_bytes(example_images()[SHIRT])
    (images,) = Evaluation.for_model(model).images([file], model)
    outputs = model.predict(images, verbose=0)
    expected = keras_crate.decode_predictions(outputs, model, top=5)[0]
    assert [name for name, _ in seen.classes] == [name for name, _ in expected]
    assert_close([p for _, p in seen.classes], [p for _, p in expected], atol=1e-5)
    for block, patch, token in ((0, None, 0), (3, 10, 11), (5, 48, 49)):
        maps = interpret.attention_maps(model, images, block, token=token)[0]
        assert_close(seen.attended(block, patch), maps, atol=1e-3)  # kept in float16
    pca = interpret.token_pca(model, images, 2, foreground=False).rgb[0]
    assert_close(seen.components[2], pca, atol=1e-3)
    measured = objective.measure(model, images)
    assert_close(seen.measured.coding_rate_mean, measured.coding_rate_mean, rtol=1e-5, atol=0)
    assert_close(seen.measured.sparsity_mean, measured.sparsity_mean, atol=1e-6)
    assert seen.picture.dtype == "uint8"
    assert_close(seen.picture, images[0, ..., 0], atol=0.5)


def test_later_pictures_compute_nothing(models, seen, monkeypatch):
    monkeypatch.setattr(keras.Model, "predict_on_batch", None)
    for block in range(seen.depth):
        assert f"Block {block}" in pictures.panel(seen, block, 7)
        assert "<svg" in pictures.curves([seen], block)


@pytest.mark.parametrize("name", [FIRST, "crate_deep_fashion_mnist"])
def test_an_answer_takes_less_than_a_second_of_computation(models, name):
    opened = models.open(name)
    found = models.look(opened, example_images()[0])  # the first one may compile
    start = time.process_time()  # not the time of the clock, since other programs may run
    found = models.look(opened, example_images()[1])
    looked = time.process_time() - start
    pictures.panel(found, found.depth - 1, 3), pictures.curves([found], 0)
    drawn = time.process_time() - start - looked
    assert looked < 1 and drawn < 0.5


def test_an_untrained_twin_and_a_vit(models):
    twin = models.look(models.open(FIRST, untrained=True), example_images()[0])
    same = models.look(models._made_untrained(FIRST), example_images()[0])
    assert twin.untrained and twin.classes == same.classes
    assert f"<h3>{FIRST}, untrained</h3>" in pictures.panel(twin, 0, None)
    own = dataclasses.replace(twin, name="own")
    assert "own <small>initial weights</small>" in pictures.panel(own, 0, None)
    trained = models.look(models.open(FIRST), example_images()[0])
    assert not trained.untrained and trained.depth == twin.depth
    html = pictures.curves([trained, twin], 2)
    assert html.count("<polyline") == 4 and "untrained" in html


def test_the_vit_is_saved_in_half_precision_and_looked_into(tmp_path):
    model = plain_vit.plain_vit()
    example_module("train_plain_vit").save_vit(model, tmp_path / "a.safetensors")
    view = plain_vit.trained_vit(tmp_path / "a.safetensors")
    images = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1)).astype("float32")
    assert_close(view.model.predict(images, verbose=0), model.predict(images, verbose=0), atol=2e-3)
    seen = Look("vit", view, list("0123456789"))(images[:1])
    assert seen.depth == 6 and seen.attended(2, 5).shape == (2, 7, 7)
    assert set(seen.measured.sparsity_mean) == {0.0}


@pytest.mark.skipif(not plain_vit.FILE.exists(), reason="the ViT's weights are not here")
def test_the_page_has_a_vit(models):
    opened = models.open(VIT)
    seen = models.look(opened, example_images()[0])
    assert seen.classes[0][0] in keras_crate.load(FIRST).class_names


def test_a_place_in_models_with_other_patches(seen):
    fine = dataclasses.replace(seen, grid=(14, 14))
    for patch, coarse in ((0, 0), (13, 6), (14 * 13 + 13, 48), (14 * 5 + 6, 2 * 7 + 3)):
        assert seen.patch_at(fine.place_of(patch)) == coarse
        assert fine.patch_at(fine.place_of(patch)) == patch
    for patch in (None, -1, 49, "3", 1.5, [1]):
        assert seen.patch_at(seen.place_of(patch)) is None


@pytest.mark.parametrize("operator", ["tssa", "cbsa"])
def test_an_operator_without_attention_is_told_in_words(operator, rng):
    model = _crate(compress=operator)
    seen = Look("small", view_of(model), ["a", "b"])(rng.uniform(0, 255, (1, 16, 16, 1)))
    html = pictures.panel(seen, 0, None)
    assert ("TSSA has no attention between pairs of tokens" in html) == (operator == "tssa")
    assert ('class="crate-heads"' in html) == (operator == "cbsa")


def test_attention_that_is_too_large_is_not_kept(rng, monkeypatch):
    look = Look("small", view_of(_crate()))
    images = rng.uniform(0, 255, (1, 16, 16, 1))
    size = 2 * 2 * 17 * 17 * 2  # blocks, heads, tokens, tokens, bytes
    monkeypatch.setattr(inside, "MOST_ATTENTION", size)
    assert sum(scores.nbytes for scores in look(images).attention) == size
    monkeypatch.setattr(inside, "MOST_ATTENTION", size - 1)
    with pytest.raises(ValueError, match="too many tokens for the page: 17,"):
        look(images)


def test_a_model_without_classes_and_one_without_class_token(rng):
    seen = Look("small", view_of(_crate()))(rng.uniform(0, 255, (1, 16, 16, 1)))
    assert seen.classes == [] and "<table" not in pictures.panel(seen, 1, None)
    scores = rng.uniform(0, 1, (2, 16, 16))
    bare = dataclasses.replace(seen, prefix_tokens=0, attention=[scores] * 2)
    assert_close(bare.attended(0, None).reshape(2, 16), scores.mean(axis=1), atol=1e-6)
    assert_close(bare.attended(0, 15).reshape(2, 16), scores[:, 15], atol=1e-6)
    assert "the mean of all patches" in pictures.panel(bare, 0, None)


def test_names_cannot_be_markup(rng):
    model = _crate()
    look = Look("<script>alert(1)</script>", view_of(model), model.class_names)
    seen = look(rng.uniform(0, 255, (1, 16, 16, 1)))
    for html in (pictures.panel(seen, 0, 3), pictures.curves([seen], 0)):
        assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html


def test_reconstruction_hides_the_share_that_is_asked_for(models):
    mae = models.open("crate_mae_fashion_mnist")
    assert mae.mae is not None and mae.look.class_names is None
    few, many, again, others = (
        models.reconstruct(mae, example_images()[1], share, seed).mask[0]
        for share, seed in ((0.2, 0), (0.6, 0), (0.6, 0), (0.6, 1))
    )
    assert few.sum() == 49 - int(49 * 0.8) and many.sum() == 49 - int(49 * 0.4)
    assert (many >= few).all()  # the same patches, and more
    assert (many == again).all() and (many != others).any()
    found = models.reconstruct(mae, example_images()[1], 0.5, 0)
    assert pictures.reconstruction(found).count("<img") == 3


def test_only_listed_models_open_unless_any_may(tmp_path):
    model = _crate()
    model.save(tmp_path / "own.keras")
    address = str(tmp_path / "own.keras")
    with pytest.raises(ValueError, match="no such model"):
        Models().open(address)
    assert Models(any_model=True).open(address).look.class_names == ["<b>", "&"]
    listed = Models([address])
    assert listed.first == address and listed.open(address) is listed.open(address)
