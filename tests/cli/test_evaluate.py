import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_crate import CRATE
from keras_crate.cli.main import main

NAMES = ("cat", "cow", "dog")
COLOURS = ((250, 20, 20), (20, 250, 20), (20, 20, 250))


@pytest.fixture
def model():
    return CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=3, class_names=NAMES, mean=0.5,
        std=0.5,
    )  # fmt: skip


@pytest.fixture
def labelled(tmp_path, model):
    """Three images, of which the model is right about two, and a file that is no image."""
    pixels = np.stack([np.broadcast_to(np.array(c, "f4"), (16, 16, 3)) for c in COLOURS])
    right = model.predict(pixels, verbose=0).argmax(axis=1)
    folder = tmp_path / "labelled"
    for k, label in enumerate((right[0], right[1], (right[2] + 1) % 3)):
        (folder / NAMES[label]).mkdir(parents=True, exist_ok=True)
        # Of one colour, so that no resizing changes it.
        Image.new("RGB", (40, 30), COLOURS[k]).save(folder / NAMES[label] / f"{k}.png")
    (folder / NAMES[right[0]] / "broken.png").write_bytes(b"no image")
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras", folder


def test_prints_accuracy_and_how_it_was_measured(labelled, tmp_path, capsys):
    file, folder = labelled
    output = tmp_path / "found.json"
    words = ["evaluate", str(file), str(folder), "--batch-size", "2", "--json", str(output)]
    assert main(words) == 1
    told = capsys.readouterr()
    assert "broken.png: it is no image" in told.err
    assert "top-1 66.67 % of 3 images" in told.out and "top-5" not in told.out
    assert "16x16 pixels" in told.out and "resized to 18 (bilinear); mean 0.5 0.5" in told.out
    record = json.loads(output.read_text())
    assert record["top1"] == pytest.approx(200 / 3) and record["images"] == 3
    assert record["evaluation"] == {
        "size": [16, 16], "resize": 18, "interpolation": "bilinear", "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }  # fmt: skip
    assert list(record["left_out"].values()) == ["it is no image"]
    folders = sorted(path.name for path in folder.iterdir())
    assert record["classes"] == {name: NAMES.index(name) for name in folders}


@pytest.mark.any_backend
def test_top_five_and_folders_in_the_order_of_their_names(tmp_path, capsys):
    images = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    dense = keras.layers.Dense(6, use_bias=False)
    keras.Model(images, dense(means)).save(tmp_path / "plain.keras")
    model = keras.saving.load_model(tmp_path / "plain.keras")
    weights = np.arange(18).reshape(3, 6) * 0 + np.arange(6)  # 5 is the likeliest, 0 the least
    model.set_weights([weights.astype("f4")])
    model.save(tmp_path / "plain.keras")
    for k in range(6):
        (tmp_path / f"labelled/class-{k}").mkdir(parents=True)
        Image.new("RGB", (20, 20), (200, 100, 50)).save(tmp_path / f"labelled/class-{k}/0.png")
    assert main(["evaluate", str(tmp_path / "plain.keras"), str(tmp_path / "labelled")]) == 0
    told = capsys.readouterr()
    assert "top-1 16.67 %, top-5 83.33 % of 6 images" in told.out and told.err == ""
    assert "the 6 folders are taken for the classes in the order of their names" in told.out


@pytest.mark.any_backend
def test_errors(labelled, tmp_path, capsys, model):
    file, folder = map(str, labelled)
    (tmp_path / "empty").mkdir()
    headless = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, include_top=False)
    headless.save(tmp_path / "headless.keras")
    bare = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, include_preprocessing=False,
                 classes=3, class_names=NAMES)  # fmt: skip
    bare.save(tmp_path / "bare.keras")
    (tmp_path / "wrong/dgo").mkdir(parents=True)
    (tmp_path / "wrong/dgo/0.png").write_bytes(b"no image")
    (tmp_path / "broken/dog").mkdir(parents=True)
    (tmp_path / "broken/dog/0.png").write_bytes(b"no image")
    for words, message in (
        ([file, str(tmp_path / "nowhere")], "There is no data set and no folder"),
        ([file, str(tmp_path / "empty")], "one folder a class"),
        ([file, str(tmp_path / "wrong")], "dgo (nearest: dog)"),
        ([str(tmp_path / "nowhere.keras"), folder], "nowhere.keras"),
        ([str(tmp_path / "headless.keras"), folder], "must be a classifier"),
        ([str(tmp_path / "bare.keras"), folder], "include_preprocessing=False"),
        ([file, folder, "--json", str(tmp_path / "nowhere/found.json")], "`--json` must name"),
        ([file, folder, "--batch-size", "0"], "`batch_size` must be 1 or more"),
    ):
        assert main(["evaluate", *words]) == 1
        error = capsys.readouterr().err
        assert message in error and error.startswith("keras-crate: error: ")
    assert main(["evaluate", file, str(tmp_path / "broken")]) == 1
    error = capsys.readouterr().err
    assert "left out" in error and "None of the 1 files could be read" in error
