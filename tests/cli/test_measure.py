import json

import keras
import pytest
from compare import assert_close
from PIL import Image

from keras_crate.cli.main import main
from keras_crate.data import ImageFiles
from keras_crate.objective import measure


def test_measures_a_folder_and_names_the_broken_file(model_file, folder, tmp_path, capsys):
    output = tmp_path / "out"
    words = ["measure", str(model_file), str(folder), "--output", str(output)]
    assert main([*words, "--convention", "paper", "--penalty", "0.2"]) == 1
    told = capsys.readouterr()
    assert "2-broken.png: it is no image" in told.err and "R - R^c" in told.out
    record = json.loads((output / "measure.json").read_text())
    assert [name.rpartition("/")[2] for name in record["images"]] == ["0.png", "1.jpg"]
    assert list(record["left_out"]) == [str(folder / "2-broken.png")]
    (batch,) = ImageFiles(folder, (16, 16, 3))
    model = keras.saving.load_model(model_file)
    expected = measure(model, batch, convention="paper", penalty=0.2).to_dict()
    found = record["models"][str(model_file)]
    assert_close(found.pop("objective_mean"), expected.pop("objective_mean"), atol=1e-3)
    assert found["penalty"] == 0.2 and found["images"] == 2
    with Image.open(output / "measure.png") as figure:
        assert figure.size[0] > 1000


@pytest.mark.any_backend
def test_several_models_in_one_figure_and_no_broken_file(model_file, folder, tmp_path, capsys):
    other = tmp_path / "other.keras"
    other.write_bytes(model_file.read_bytes())
    words = ["measure", str(model_file), str(folder / "0.png"), "--output", str(tmp_path / "out")]
    assert main([*words, "--compare", str(other)]) == 0
    record = json.loads((tmp_path / "out/measure.json").read_text())
    assert list(record["models"]) == [str(model_file), str(other)]
    assert capsys.readouterr().err == ""


@pytest.mark.any_backend
def test_errors_are_one_line_that_says_what_to_do(model_file, folder, tmp_path, capsys):
    nowhere, output = str(tmp_path / "nowhere"), ["--output", str(tmp_path / "out")]
    (tmp_path / "bad.keras").write_bytes(b"no model")
    plain = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    plain.save(tmp_path / "plain.keras")
    for model, images, message in (
        (nowhere, folder, "no model file"),
        (tmp_path / "bad.keras", folder, "cannot be loaded"),
        (tmp_path / "plain.keras", folder, "`model` must have white-box blocks"),
        (model_file, nowhere, "no file or folder"),
    ):
        assert main(["measure", str(model), str(images), *output]) == 1
        error = capsys.readouterr().err
        assert message in error and error.startswith("keras-crate: error: ")
    assert main(["measure", str(model_file), str(folder / "2-broken.png"), *output]) == 1
    error = capsys.readouterr().err
    assert "left out" in error and "2-broken.png" in error and "at least one image" in error
    with pytest.raises(SystemExit):
        main(["measure", str(model_file)])
