import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

import keras_crate
from keras_crate import CRATE
from keras_crate.data.image_sources import ArraySource
from keras_crate.evaluation import Evaluation
from keras_crate.weights.variants import IMAGENET_EVALUATION

pytestmark = pytest.mark.any_backend


def small(shape=(16, 16, 3), **options):
    return CRATE(24, 1, 2, input_shape=shape, patch_size=8, classes=3, **options)


def test_the_hub_has_the_same_name():
    assert keras_crate.hub.Evaluation is Evaluation


def test_images_are_what_the_model_takes(tmp_path):
    y, x = np.mgrid[:18, :24]
    Image.fromarray(np.stack([x, y, x], axis=-1).astype("uint8")).save(tmp_path / "places.png")
    images = Evaluation().images(tmp_path, small())  # 256 of 224 is 18 of 16
    (batch,) = images
    np.testing.assert_array_equal(batch[0, 0, :, 0], np.arange(4, 20))  # nothing resized, cut out
    np.testing.assert_array_equal(batch[0, :, 0, 1], np.arange(1, 17))
    assert images.resize == 18 and images.interpolation == "bilinear"
    first = small((3, 16, 16), data_format="channels_first")
    (turned,) = Evaluation().images(tmp_path, first)
    np.testing.assert_array_equal(turned, np.moveaxis(batch, -1, 1))
    exact = Evaluation(size=(16, 16), resize=17, interpolation="area").images(tmp_path, small(), 5)
    assert (exact.resize, exact.interpolation, exact.batch_size) == (17, "area", 5)


def test_what_is_assumed_leaves_images_of_the_models_size_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 24, 16, 3)).astype("uint8")
    Image.fromarray(pixels[0]).save(tmp_path / "0.png")
    model = small((24, 16, 3))
    evaluation = Evaluation.for_model(model)
    (batch,) = evaluation.images(tmp_path, model)
    np.testing.assert_array_equal(batch, pixels)
    images, labels = evaluation.batches(ArraySource(pixels, [2]), model)[0]
    np.testing.assert_array_equal(images, pixels)
    np.testing.assert_array_equal(labels, [[0, 0, 1]])


def test_for_another_size():
    squeezed = Evaluation(size=(224, 224), resize=[224, 224]).for_size((16, 24))
    assert squeezed.resize == squeezed.size == (16, 24)
    assert Evaluation(resize=None).for_size((16, 24)).resize is None
    assert Evaluation(size=(100, 200), resize=150).for_size((300, 200)).resize == 300
    assert Evaluation(size=(32, 32), resize=40).used_for(small((24, 16, 3))) == Evaluation(
        size=(24, 16), resize=20
    )
    any_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()])
    assert Evaluation().used_for(any_size) == Evaluation()


def test_what_is_assumed_for_a_model():
    assert Evaluation.for_model(small((32, 64, 3))) == Evaluation((32, 64), (32, 64))
    own = Evaluation.for_model(small(mean=0.25, std=[0.5, 0.25, 0.125]))
    assert own.mean == (0.25, 0.25, 0.25) and own.std == (0.5, 0.25, 0.125)
    grey = small((1, 16, 24), data_format="channels_first")
    found = Evaluation.for_model(grey)
    assert (found.size, found.mean, found.std) == ((16, 24), (0.5,), (0.5,))
    assert found.used_for(grey) == found
    any_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()])
    assert Evaluation.for_model(any_size) == Evaluation(resize=(224, 224))
    with pytest.raises(ValueError, match="must take one batch of images"):
        Evaluation.for_model(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]))


def test_the_mean_of_a_model_after_layers_of_the_users():
    rgb = keras.layers.Conv2D(3, 1)(keras.Input((16, 16, 1)))
    model = small(None, input_tensor=rgb)
    found = Evaluation.for_model(model)
    assert found.mean == Evaluation().mean and found.used_for(model) is found
    with pytest.raises(ValueError, match="normalise by the evaluation's `mean`"):
        dataclasses.replace(found, mean=0.5).used_for(model)


def test_a_model_keeps_its_evaluation(tmp_path):
    evaluation = Evaluation((32, 32), 36, "bicubic", 0.25, 0.5)
    model = small(mean=0.25, std=0.5)
    assert Evaluation.known_for(model) is None
    evaluation.keep_in(model)
    resized = evaluation.for_size((16, 16))
    assert Evaluation.for_model(model) == dataclasses.replace(
        resized, mean=(0.25,) * 3, std=(0.5,) * 3
    )
    model.save(tmp_path / "a.keras")
    for same in (
        keras.saving.load_model(tmp_path / "a.keras"),
        small(weights=tmp_path / "a.keras"),
        keras_crate.fuse(model),
    ):
        assert Evaluation.known_for(same) == Evaluation.for_model(model)
    assert Evaluation.for_model(model.with_input_shape((64, 64, 3))).resize == 72
    mae = keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    evaluation.keep_in(mae)
    assert Evaluation.for_model(mae.encoder(include_top=True, classes=2)).resize == 18
    with pytest.raises(ValueError, match=r"have no place .*Received: a Sequential"):
        evaluation.keep_in(keras.Sequential([keras.Input((16, 16, 3))]))


def test_an_evaluation_in_a_configuration_is_checked():
    config = {**small().get_config(), "evaluation": {"resize": -1}}
    with pytest.raises(ValueError, match="`resize` must be"):
        Evaluation.for_model(CRATE.from_config(config))
    with pytest.raises(ValueError, match="must be a mapping of size, resize"):
        Evaluation.for_model(CRATE.from_config({**config, "evaluation": {"crop": 1}}))


def test_the_registry_has_the_defaults():
    default = Evaluation().to_dict()
    assert IMAGENET_EVALUATION.items() <= default.items()
    assert default.keys() - IMAGENET_EVALUATION.keys() == {"mean", "std"}


def test_refuses_models_that_would_see_other_images():
    with pytest.raises(ValueError, match=r"must take pixels .*include_preprocessing=False"):
        Evaluation().used_for(small(include_preprocessing=False))
    with pytest.raises(ValueError, match=r"evaluation's `mean`.*\(0\.5, 0\.5, 0\.5\) in the model"):
        Evaluation().used_for(small(mean=0.5, std=0.229))
    with pytest.raises(ValueError, match=r"by the evaluation's `std`"):
        Evaluation(std=0.5).used_for(small())
    with pytest.raises(ValueError, match=r"by the evaluation's `mean`"):
        Evaluation().used_for(small((16, 16, 1)))
    Evaluation(mean=0.5, std=0.5).used_for(small(mean=[0.5] * 3, std=[0.5] * 3))


def test_round_trip_through_json():
    for evaluation in (
        Evaluation(),
        Evaluation((32, 48), [32, 48], "area", 0.5, 0.25),
        Evaluation(resize=None, interpolation="bicubic"),
    ):
        written = json.loads(json.dumps(evaluation.to_dict()))
        assert Evaluation.from_dict(written) == evaluation
        assert hash(Evaluation.from_dict(written)) == hash(evaluation)
    assert Evaluation().to_dict() == {
        "size": [224, 224], "resize": 256, "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    assert Evaluation.from_dict({"resize": 248}) == dataclasses.replace(Evaluation(), resize=248)


def test_it_prints_as_words():
    assert str(Evaluation()) == (
        "224x224 pixels, the centre of images whose shorter side is resized to 256 (bilinear); "
        "mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    assert "cropped to those proportions" in str(Evaluation(resize=None))
    assert "resized as a whole" in str(Evaluation(resize=(224, 224)))


def test_refuses_bad_values():
    for message, given in (
        (r"`size` must be a pair .*Received: size=224", {"size": 224}),
        ("`size` must be a pair", {"size": (0, 224)}),
        ("`resize` must be", {"resize": -1}),
        ("`resize` must be", {"resize": (256, 256)}),
        ("`interpolation` must be one of", {"interpolation": "lanczos"}),
        ("could not convert", {"mean": "imagenet"}),
        ("`mean` must be finite", {"mean": ()}),
        ("`std` above 0", {"std": (1, float("nan"), 1)}),
        ("`std` above 0", {"std": 0, "mean": 0}),
        ("one number, or one for each channel", {"mean": (0.5, 0.5)}),
        ("must be a mapping of size, resize", {"crop": 224}),
        ("must be a mapping of size, resize", [224]),
    ):
        with pytest.raises(ValueError, match=message):
            Evaluation.from_dict(given)
