import json

import keras
import pytest
from compare import assert_close
from PIL import Image

from keras_crate.evaluation import Evaluation
from keras_crate.objective import measure
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend


def test_measures_several_models_and_names_the_broken_file(model_file, folder, tmp_path, capsys):
    output, other = tmp_path / "out", tmp_path / "other.keras"
    other.write_bytes(model_file.read_bytes())
    words = ["measure", str(model_file), str(folder), "--output", str(output)]
    words += ["--convention", "paper", "--penalty", "0.2", "--compare", str(other)]
    assert main(words) == 1
    out, notes = capsys.readouterr()
    assert "2-broken.png: it is not" in notes and "R - R^c" in out
    assert notes.count("images: 16x16 pixels, resized as a whole") == 2
    record = json.loads((output / "measure.json").read_text())
    assert [name.rpartition("/")[2] for name in record["images"]] == ["0.png", "1.jpg"]
    assert list(record["left_out"]) == [str(folder / "2-broken.png")]
    assert list(record["models"]) == list(record["evaluations"]) == [str(model_file), str(other)]
    model = keras.saving.load_model(model_file)
    (batch,) = Evaluation.for_model(model).images(folder, model)
    expected = measure(model, batch, convention="paper", penalty=0.2).to_dict()
    found = record["models"][str(model_file)]
    assert_close(found.pop("objective_mean"), expected.pop("objective_mean"), atol=1e-3)
    assert found["penalty"] == 0.2 and found["images"] == 2
    with Image.open(output / "measure.png") as figure:
        assert figure.size[0] > 1000


def test_one_model_and_no_broken_file(model_file, folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["measure", str(model_file), str(folder / "0.png"), "--output", str(output)]) == 0
    assert capsys.readouterr().err.count("\n") == 1  # how images are prepared
    assert {file.name for file in output.iterdir()} == {"measure.json", "measure.png"}
