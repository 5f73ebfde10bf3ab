import json

import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEMAE, interpret
from keras_crate.cli.look import _resized
from keras_crate.evaluation import Evaluation
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend


def test_the_size_is_that_of_the_images_before_the_users_layers():
    images = keras.layers.Conv2D(3, 2, strides=2)(keras.Input((32, 32, 1)))
    model = CRATE(24, 1, 2, input_tensor=images, patch_size=8)
    assert _resized(model, 32).input_shape == (None, 32, 32, 1)


def test_writes_what_a_model_sees_at_another_size(model_file, folder, tmp_path, capsys):
    output = tmp_path / "out"
    words = ["look", str(model_file), str(folder), "--output", str(output), "--layer", "0"]
    assert main([*words, "--size", "32", "--features", "keys", "--objects", "2", "--crop"]) == 1
    notes = capsys.readouterr().err
    assert "2-broken.png: it is not" in notes
    assert "images: 32x32 pixels, cropped to those proportions" in notes
    assert "note: the model is untrained: its weights are initial values" in notes
    assert {file.name for file in output.iterdir()} == {
        "heads.png", "rollout.png", "components.png", "objects.png", "look.json",
    }  # fmt: skip
    text = (output / "look.json").read_text()
    assert '"image_shape": [32, 32, 3]' in text and len(text.splitlines()) < 150
    record = json.loads(text)
    assert record["image_shape"] == [32, 32, 3] and list(record["left_out"])
    first, second = record["images"]
    assert first["file"].endswith("0.png") and second["file"].endswith("1.jpg")
    assert {name for name, _ in first["predictions"]} == {"cat", "dog"}
    model = keras.saving.load_model(model_file).with_input_shape((32, 32, 3))
    (images,) = Evaluation((32, 32), resize=None).images(folder, model)
    maps = interpret.attention_maps(model, images, layer=0)
    assert_close(np.array(second["attention"]), maps[1], atol=1e-4)
    found = interpret.segment(model, images, layer=0, objects=2, what="keys")
    np.testing.assert_array_equal(second["objects"], found[1])


def test_of_a_masked_autoencoder_it_shows_the_encoder(folder, tmp_path):
    mae = CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    mae.save(tmp_path / "mae.keras")
    output = tmp_path / "out"
    words = ["look", str(tmp_path / "mae.keras"), str(folder / "0.png"), "--output", str(output)]
    assert main(words) == 0
    (first,) = json.loads((output / "look.json").read_text())["images"]
    assert "predictions" not in first
    (images,) = Evaluation.for_model(mae).images(folder / "0.png", mae)
    assert_close(np.array(first["rollout"]), interpret.rollout(mae.encoder(), images)[0], atol=1e-4)


def test_of_attention_without_scores_it_shows_the_rest(folder, tmp_path, capsys):
    model = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2, compress="tssa")
    model.save(tmp_path / "tssa.keras")
    words = ["look", str(tmp_path / "tssa.keras"), str(folder / "0.png")]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    assert "block_0_tssa has no attention between pairs of tokens" in capsys.readouterr().out
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {"components.png", "objects.png", "look.json"}
