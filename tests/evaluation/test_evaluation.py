import dataclasses
import json

import keras
import numpy as np
import pytest
from keras_crate.evaluation.evaluation import Evaluation, accuracy, number_of_classes
from keras_crate.evaluation.labelled_images import labelled_images
from PIL import Image

from keras_crate import CRATE, CRATEMAE

SMALL = {"dim": 24, "depth": 1, "heads": 2, "patch_size": 8, "classes": 3}


def small(shape=(16, 16, 3), **options):
    return CRATE(**SMALL, input_shape=shape, **options)


def brightest_channel(activation):
    """A classifier of colours: the class is the channel that is brightest."""
    images = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    centred = keras.layers.Rescaling(1 / 64, offset=-2)(means)  # some below 0
    return keras.Model(images, keras.layers.Activation(activation)(centred))


@pytest.fixture
def colours(tmp_path):
    """Red, green, blue and yellowish images, after a broken file and before another."""
    folder = tmp_path / "colours"
    folder.mkdir()
    (folder / "0-broken.png").write_bytes(b"no image")
    for name, colour in (
        ("1-red", (200, 60, 10)), ("2-green", (10, 200, 60)), ("3-blue", (60, 10, 200)),
        ("4-yellowish", (200, 190, 10)),
    ):  # fmt: skip
        Image.new("RGB", (30, 20), colour).save(folder / f"{name}.png")
    (folder / "5-broken.png").write_bytes(b"no image")
    return folder


def labels_of(images, **classes):
    return {file: classes.get(file.stem.partition("-")[2], 0) for file in images.files}


@pytest.mark.parametrize("activation", ["softmax", "linear"])
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_accuracy_counts_what_was_read(colours, activation, batch_size):
    model = brightest_channel(activation)
    images = Evaluation.for_model(model).images(colours, model, batch_size)
    # Read in another order than they are labelled in: yellowish is 1 by its label, 0 by the model.
    labels = labels_of(images, red=0, green=1, blue=2, yellowish=1)
    found = accuracy(model, images, dict(reversed(labels.items())))
    assert found == {"top1": 75.0, "images": 4, "left_out": 2}  # of 3 classes no top 5
    found = accuracy(model, images, {str(file): label for file, label in labels.items()}, (2, 3))
    assert found == {"top2": 100.0, "top3": 100.0, "images": 4, "left_out": 2}
    labels = labels_of(images, red=2, green=2, blue=0, yellowish=2)  # red's second is green
    found = accuracy(model, images, labels, top=(1, 2))
    assert found == {"top1": 0.0, "top2": 50.0, "images": 4, "left_out": 2}


def test_accuracy_shows_its_progress(colours, capsys):
    model = brightest_channel("linear")
    images = Evaluation.for_model(model).images(colours, model, 2)
    labels = labels_of(images)
    accuracy(model, images, labels)
    assert capsys.readouterr().out == ""
    accuracy(model, images, labels, verbose=1)
    assert "6/6" in capsys.readouterr().out


def test_accuracy_refuses(colours):
    model = brightest_channel("linear")
    images = Evaluation().images(colours, model)
    labels = labels_of(images)
    without = {file: label for file, label in labels.items() if "red" not in file.name}
    with pytest.raises(ValueError, match=r"none for 1 of 6, the first of them .*1-red.png"):
        accuracy(model, images, without)
    for wrong in (3, -1, 0.5, None):
        with pytest.raises(ValueError, match=rf"from 0 to 2, .*{wrong} for .*2-green"):
            accuracy(model, images, labels_of(images, green=wrong))
    with pytest.raises(ValueError, match="`top` must be a positive integer"):
        accuracy(model, images, labels, top=(0,))
    broken = Evaluation().images([colours / "0-broken.png"], model)
    with pytest.raises(ValueError, match=r"None of the 1 files .*it is not an image"):
        accuracy(model, broken, labels_of(broken))
    damaged = keras.Sequential([model, keras.layers.Rescaling(float("nan"))])
    with pytest.raises(ValueError, match=r"1-red.png are NaN"):
        accuracy(damaged, images, labels)


def test_labelled_images_of_folders_by_name_and_by_wordnet_identifier(colours, tmp_path):
    for name, file in (("red", "1-red"), ("n01443537", "2-green"), ("n01443537", "4-yellowish")):
        (tmp_path / "labelled" / name).mkdir(parents=True, exist_ok=True)
        (colours / f"{file}.png").rename(tmp_path / "labelled" / name / f"{file}.png")
    model = small(class_names=["green", "red", "n01443537"])
    images, labels, folders = labelled_images(model, Evaluation(), tmp_path / "labelled", 2)
    assert {file.stem: label for file, label in labels.items()} == {
        "1-red": 1, "2-green": 2, "4-yellowish": 2,
    }  # fmt: skip
    assert folders == ("n01443537", "red") and images.files == list(labels)
    assert [batch.shape for batch in images] == [(2, 16, 16, 3), (1, 16, 16, 3)]
    (tmp_path / "labelled/red").rename(tmp_path / "labelled/great white shark")
    thousand = {**SMALL, "input_shape": (16, 16, 3), "classes": 1000}
    imagenet = CRATE(**thousand, class_names="imagenet")
    _, labels, _ = labelled_images(imagenet, Evaluation(), tmp_path / "labelled")
    assert list(labels.values()) == [2, 1, 1]
    (tmp_path / "labelled/great white shark").rename(tmp_path / "labelled/n01484850")
    _, labels, _ = labelled_images(CRATE(**thousand), Evaluation(), tmp_path / "labelled")
    assert list(labels.values()) == [1, 1, 2]
    model = CRATE(**thousand, class_names=[str(k) for k in range(1000)])  # of another data set
    with pytest.raises(ValueError, match="bear the name of one of the 1000 classes"):
        labelled_images(model, Evaluation(), tmp_path / "labelled")


def test_models_without_classes_are_refused():
    assert number_of_classes(small()) == 3
    mae = CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    for model, message in (
        (small(include_top=False), "features, without a head"),
        (small(include_top=False, pooling=None), "features, without a head"),
        (mae, "outputs of shape .*encoder"),
        (keras.Sequential([keras.Input((4, 4, 3)), keras.layers.ReLU()]), "None, 4, 4, 3"),
    ):
        with pytest.raises(ValueError, match=message):
            number_of_classes(model)


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


def test_for_another_size():
    squeezed = Evaluation(size=(224, 224), resize=[224, 224]).for_size((16, 24))
    assert squeezed.resize == squeezed.size == (16, 24)
    assert Evaluation(resize=None).for_size((16, 24)).resize is None
    assert Evaluation(size=(100, 200), resize=150).for_size((300, 200)).resize == 300
    assert Evaluation(size=(32, 32), resize=40).used_for(small((24, 16, 3))) == Evaluation(
        size=(24, 16), resize=20
    )
    any_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()])
    assert Evaluation().used_for(any_size) == Evaluation.for_model(any_size) == Evaluation()


def test_what_is_customary_for_a_model():
    assert Evaluation.for_model(small((32, 64, 3))) == Evaluation(size=(32, 64), resize=37)
    own = Evaluation.for_model(small(mean=0.25, std=[0.5, 0.25, 0.125]))
    assert own.mean == (0.25, 0.25, 0.25) and own.std == (0.5, 0.25, 0.125)
    grey = small((1, 16, 24), data_format="channels_first")
    found = Evaluation.for_model(grey)
    assert (found.size, found.mean, found.std) == ((16, 24), (0.5,), (0.5,))
    assert found.used_for(grey) == found
    with pytest.raises(ValueError, match="must take one batch of images"):
        Evaluation.for_model(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]))


def test_refuses_models_that_would_see_other_images(colours):
    with pytest.raises(ValueError, match=r"must take pixels .*include_preprocessing=False"):
        Evaluation().images(colours, small(include_preprocessing=False))
    with pytest.raises(ValueError, match=r"evaluation's `mean`.*\(0\.5, 0\.5, 0\.5\) in the model"):
        Evaluation().images(colours, small(mean=0.5, std=0.229))
    with pytest.raises(ValueError, match=r"by the evaluation's `std`"):
        Evaluation(std=0.5).images(colours, small())
    with pytest.raises(ValueError, match=r"by the evaluation's `mean`"):
        Evaluation().images(colours, small((16, 16, 1)))
    halves = Evaluation(mean=0.5, std=0.5)
    assert halves.images(colours, small(mean=[0.5] * 3, std=[0.5] * 3))


@pytest.mark.any_backend
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


@pytest.mark.any_backend
def test_it_prints_as_words():
    assert str(Evaluation()) == (
        "224x224 pixels, the centre of images whose shorter side is resized to 256 (bilinear); "
        "mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    assert "cropped to those proportions" in str(Evaluation(resize=None))
    assert "resized as a whole" in str(Evaluation(resize=(224, 224)))


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 224}, r"`size` must be a pair .*Received: size=224"),
        ({"size": (0, 224)}, "`size` must be a pair"),
        ({"resize": -1}, "`resize` must be None, a positive integer"),
        ({"resize": (256, 256)}, r"that come out, \(224, 224\)"),
        ({"interpolation": "lanczos"}, "`interpolation` must be one of"),
        ({"mean": "imagenet"}, "`mean` must be a number or one for each channel"),
        ({"mean": ()}, "`mean` must be a number"),
        ({"std": (1, float("nan"), 1)}, "`std` must be a number"),
        ({"std": 0, "mean": 0}, "`std` must be above 0"),
        ({"mean": (0.5, 0.5)}, "as many as each other, or one"),
        ({"crop": 224}, "Received also: crop"),
    ],
)
def test_refuses_bad_values(given, message):
    with pytest.raises(ValueError, match=message):
        Evaluation.from_dict(given)
    with pytest.raises(ValueError, match="must be a mapping"):
        Evaluation.from_dict([224])
