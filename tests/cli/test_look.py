import json

import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEMAE, interpret
from keras_crate.cli.main import main
from keras_crate.data import ImageFiles


def test_writes_what_a_model_sees_at_another_size(model_file, folder, tmp_path, capsys):
    output = tmp_path / "out"
    words = ["look", str(model_file), str(folder), "--output", str(output), "--layer", "0"]
    assert main([*words, "--size", "32", "--features", "keys", "--objects", "2"]) == 1
    assert "2-broken.png: it is no image" in capsys.readouterr().err
    assert {file.name for file in output.iterdir()} == {
        "heads.png", "rollout.png", "components.png", "objects.png", "look.json",
    }  # fmt: skip
    record = json.loads((output / "look.json").read_text())
    assert record["image_shape"] == [32, 32, 3] and list(record["left_out"])
    first, second = record["images"]
    assert first["file"].endswith("0.png") and second["file"].endswith("1.jpg")
    assert {name for name, _ in first["predictions"]} == {"cat", "dog"}
    (images,) = ImageFiles(folder, (32, 32, 3))
    model = keras.saving.load_model(model_file)
    maps = interpret.attention_maps(model, images, layer=0)
    assert_close(np.array(second["attention"]), maps[1], atol=1e-4)
    found = interpret.segment(model, images, layer=0, objects=2, what="keys")
    np.testing.assert_array_equal(second["objects"], found[1])


@pytest.mark.any_backend
def test_of_a_masked_autoencoder_it_shows_the_encoder(folder, tmp_path):
    mae = CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    mae.save(tmp_path / "mae.keras")
    output = tmp_path / "out"
    words = ["look", str(tmp_path / "mae.keras"), str(folder / "0.png"), "--output", str(output)]
    assert main(words) == 0
    (first,) = json.loads((output / "look.json").read_text())["images"]
    assert "predictions" not in first
    (images,) = ImageFiles(folder / "0.png", (16, 16, 3))
    assert_close(np.array(first["rollout"]), interpret.rollout(mae.encoder(), images)[0], atol=1e-4)


@pytest.mark.any_backend
def test_errors(model_file, folder, tmp_path, capsys):
    output = ["--output", str(tmp_path / "out")]
    for words, message in (
        ([str(folder / "0.png"), "--layer", "5"], "which has 0, 1; negative"),
        ([str(folder / "0.png"), "--size", "20"], "divisible"),
        ([str(folder / "0.png"), "--size", "0"], "must be positive integers"),
        ([str(folder / "2-broken.png")], "None of the 1 files could be read"),
    ):
        assert main(["look", str(model_file), *words, *output]) == 1
        assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())  # nothing half written


@pytest.mark.any_backend
def test_of_attention_without_scores_it_shows_the_rest(folder, tmp_path, capsys):
    model = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2, compress="tssa")
    model.save(tmp_path / "tssa.keras")
    words = ["look", str(tmp_path / "tssa.keras"), str(folder / "0.png")]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    assert "block_0_tssa attends to no tokens one by one" in capsys.readouterr().out
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {"components.png", "objects.png", "look.json"}
