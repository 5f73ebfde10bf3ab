import json
import re
import shutil

import keras
import numpy as np
import pytest
from idx_files import write_idx
from PIL import Image

from keras_crate import CRATE
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

NAMES = ("cat", "cow", "dog")
COLOURS = ((250, 20, 20), (20, 250, 20), (20, 20, 250))


@pytest.fixture
def labelled(tmp_path):
    """A model, three images, of which it is right about two, and a file that is not an image."""
    model = CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=3, class_names=NAMES, mean=0.5,
        std=0.5,
    )  # fmt: skip
    pixels = np.stack([np.broadcast_to(np.array(c, "f4"), (16, 16, 3)) for c in COLOURS])
    said = model.predict(pixels, verbose=0).argmax(axis=1)
    folder = tmp_path / "labelled"
    for k, label in enumerate((said[0], said[1], (said[2] + 1) % 3)):
        (folder / NAMES[label]).mkdir(parents=True, exist_ok=True)
        # Of one colour, so that no resizing changes it.
        Image.new("RGB", (40, 30), COLOURS[k]).save(folder / NAMES[label] / f"{k}.png")
    (folder / NAMES[said[0]] / "broken.png").write_bytes(b"no image")
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras", folder


def test_prints_accuracy_and_how_images_are_prepared(labelled, tmp_path, capsys):
    file, folder = labelled
    output = tmp_path / "found.json"
    words = ["evaluate", str(file), str(folder), "--batch-size", "2", "--json", str(output)]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert "broken.png: it is not" in err
    assert "images: 16x16 pixels, resized as a whole (bilinear)\n" in err
    assert "top-1 66.67 % of 3 images" in out and "top-5" not in out
    assert out.count("measuring") == 1 and "100%" in out  # one line where there is no terminal
    record = json.loads(output.read_text())
    assert record["top1"] == pytest.approx(200 / 3) and record["images"] == 3
    assert record["evaluation"] == {
        "size": [16, 16], "resize": [16, 16], "interpolation": "bilinear", "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }  # fmt: skip
    assert list(record["left_out"]) == [str(next(folder.rglob("broken.png")))]
    folders = sorted(path.name for path in folder.iterdir())
    assert record["classes"] == {name: NAMES.index(name) for name in folders}


def test_of_a_folder_with_splits_the_test_or_the_validation_images_are_used(
    labelled, tmp_path, capsys
):
    file, folder = labelled
    next(folder.rglob("broken.png")).unlink()
    folder.rename(tmp_path / "train")
    folder.mkdir()
    (tmp_path / "train").rename(folder / "train")
    assert main(["evaluate", str(file), str(folder)]) == 1
    assert "no folder of validation images. To measure on" in capsys.readouterr().err
    shutil.copytree(folder / "train", folder / "val")
    picture = next((folder / "val").rglob("0.png"))
    shutil.copy(picture, picture.with_name("3.png"))

    def is_told(count, split):  # the classes of the three pictures may differ
        told = rf"{count} files of \d classes in {re.escape(str(folder / split))}"
        return re.search(told, capsys.readouterr().out)

    assert main(["evaluate", str(file), str(folder)]) == 0
    assert is_told(4, "val")
    shutil.copytree(folder / "train", folder / "test")
    found = tmp_path / "found.json"
    for words, split, count in (([], "test", 3), (["--split", "validation"], "val", 4)):
        assert main(["evaluate", str(file), str(folder), *words, "--json", str(found)]) == 0
        assert is_told(count, split)
    assert json.loads(found.read_text())["split"] == "validation"
    shutil.rmtree(folder / "val")
    assert main(["evaluate", str(file), str(folder), "--split", "validation"]) == 1
    assert "no folder of validation images" in capsys.readouterr().err


def test_of_a_set_the_test_images_are_used(tmp_path, capsys):
    model = CRATE(24, 1, 2, input_shape=(4, 4, 1), patch_size=2, classes=2)
    model.save(tmp_path / "model.keras")
    for split, count in (("train", 30), ("test", 5)):
        write_idx(tmp_path, split, count, size=(4, 4))
    found = tmp_path / "found.json"
    for command in (["evaluate"], ["probe", "--knn", "2"]):
        for words, split, count in (([], "test", 5), (["--split", "validation"], "validation", 3)):
            words = [command[0], str(tmp_path / "model.keras"), str(tmp_path), *command[1:], *words]
            assert main([*words, "--json", str(found)]) == 0
            out = capsys.readouterr().out
            assert (
                f"{count} {split} images of" in out
                or f"27 training images, {count} for {split}" in out
            )
            assert json.loads(found.read_text())["split"] == split
    CRATE(24, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=10).save(tmp_path / "ten.keras")
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "ten.keras"), "digits", "--split", "test"]) == 1
    assert "There are no test images" in capsys.readouterr().err


def test_agrees_with_keras_on_images_of_the_models_own_size(tmp_path, capsys):
    """Noise and a dense layer: a crop or a resampling would change the predictions."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 28, 28, 1)).astype("uint8")
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 128, offset=-1),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    labels = model.predict(images, verbose=0).argmax(axis=1)
    labels[:6] = (labels[:6] + 1) % 4
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / f"digits/{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{k}.png")
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    file = tmp_path / "digits.keras"
    model.save(file)
    expected = 100 * model.evaluate(images, labels, verbose=0)[1]
    assert expected == pytest.approx(90)
    assert main(["evaluate", str(file), str(tmp_path / "digits")]) == 0
    assert f"top-1 {expected:.2f} % of 60 images" in capsys.readouterr().out
    for option, words in (
        (["--resize", "32"], "the centre of images whose shorter side is resized to 32"),
        (["--crop"], "cropped to those proportions and resized"),
        (["--resize", "whole"], "resized as a whole"),
    ):
        assert main(["evaluate", str(file), str(tmp_path / "digits"), *option]) == 0
        out, err = capsys.readouterr()
        assert words in err
        assert ("top-1 90.00 %" in out) == (option[-1] != "32")


def test_top_five_and_folders_in_the_order_of_their_names(tmp_path, capsys):
    images = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.Dense(6, use_bias=False)(means))
    model.set_weights(
        [np.tile(np.arange(6, dtype="f4"), (3, 1))]
    )  # 5 is the likeliest, 0 the least
    model.save(tmp_path / "plain.keras")
    for k in range(6):
        (tmp_path / f"labelled/class-{k}").mkdir(parents=True)
        Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / f"labelled/class-{k}/0.png")
    assert main(["evaluate", str(tmp_path / "plain.keras"), str(tmp_path / "labelled")]) == 0
    out, err = capsys.readouterr()
    assert "top-1 16.67 %, top-5 83.33 % of 6 images" in out
    assert "keras-crate: warning: No folder" in err
