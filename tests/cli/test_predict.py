import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_crate import CRATE, decode_predictions
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

NAMES = ["cat", "dog", "cow"]


@pytest.fixture
def saved(tmp_path):
    """Saves classifiers of the same weights."""

    def save(name, **options):
        keras.utils.set_random_seed(0)
        shape = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
        model = CRATE(24, 1, 2, **shape, **options)
        file = tmp_path / f"{name}.keras"
        model.save(file)
        return file

    return save


@pytest.fixture
def photographs(tmp_path):
    """Of one colour each, so that no resizing changes them; and a file that is no image."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, colour in (("0.png", (250, 20, 20)), ("1.png", (20, 20, 250))):
        Image.new("RGB", (40, 30), colour).save(folder / name)
    (folder / "2-broken.png").write_bytes(b"no image")
    pixels = [
        np.broadcast_to(np.array(c, "f4"), (16, 16, 3)) for c in ((250, 20, 20), (20, 20, 250))
    ]
    return folder, np.stack(pixels)


def test_names_what_is_in_images_and_the_broken_file(saved, photographs, capsys):
    folder, pixels = photographs
    file = saved("named", class_names=NAMES)
    assert main(["predict", str(file), str(folder), "--top", "2", "--batch-size", "1"]) == 1
    told = capsys.readouterr()
    assert "2-broken.png: it is not" in told.err
    model = keras.saving.load_model(file)
    expected = decode_predictions(model.predict(pixels, verbose=0), model, top=2)
    assert "images: 16x16 pixels, resized as a whole" in told.err
    assert told.out.splitlines() == [
        f"{folder / f'{k}.png'}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in found)
        for k, found in enumerate(expected)
    ]


def test_logits_become_probabilities_and_numbers_stand_for_names(saved, photographs, capsys):
    folder, pixels = photographs
    model = keras.saving.load_model(saved("probabilities"))
    expected = model.predict(pixels, verbose=0)
    for options in ({}, {"classifier_activation": None}):
        file = saved("model", **options)
        assert main(["predict", str(file), str(folder / "0.png"), "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["model"] == str(file) and record["left_out"] == {}
        (image,) = record["images"]
        assert image["file"] == str(folder / "0.png")
        order = [of["class"] for of in image["predictions"]]  # all three, though five are wanted
        np.testing.assert_array_equal(order, np.argsort(-expected[0]))
        found = [of["probability"] for of in image["predictions"]]
        np.testing.assert_allclose(found, expected[0][order], atol=1e-5)
        assert image["predictions"][0]["name"] == f"class {order[0]}"


def test_probabilities_that_need_not_sum_to_one_stay(saved, photographs, capsys):
    folder, pixels = photographs
    file = saved("sigmoid", classifier_activation="sigmoid")
    expected = keras.saving.load_model(file).predict(pixels, verbose=0)
    assert main(["predict", str(file), str(folder), "--json", "--top", "1"]) == 1
    record = json.loads(capsys.readouterr().out)
    found = [image["predictions"][0]["probability"] for image in record["images"]]
    np.testing.assert_allclose(found, expected.max(axis=1), atol=1e-5)
    assert list(record["left_out"]) == [str(folder / "2-broken.png")]
