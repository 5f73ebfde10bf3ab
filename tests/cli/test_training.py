"""`keras-crate pretrain`, `finetune` and `recipes`."""

import json

import keras
import pytest
from idx_files import write_idx
from marks import compiles_long

import keras_crate
from keras_crate_cli import main

SETTINGS = ["--set", "image_size=8", "--set", "batch_size=32", "--set", "epochs=2"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model's file, to begin with."""
    file = tmp_path_factory.mktemp("model") / "small.keras"
    keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=10).save(file)
    return str(file)


@compiles_long
def test_pretrain_then_finetune_then_evaluate(small, tmp_path, capsys, monkeypatch):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    words = ["pretrain", small, "--recipe", "digits-small", "--data", "digits", "--output", first]
    assert main([*words, *SETTINGS, "--limit", "128"]) == 0
    out = capsys.readouterr().out
    assert "epoch 2/2: " in out and "validation accuracy" in out and "recipe.json" in out
    recipe = json.loads((tmp_path / "first/recipe.json").read_text())
    assert recipe["epochs"] == 2 and recipe["warmup_epochs"] == 2
    assert recipe["image_size"] is None  # the model's own

    words = ["finetune", "--weights", f"{first}/model.keras", "--data", "digits"]
    words += ["--recipe", f"{first}/recipe.json", "--set", "learning_rate=1e-4"]
    assert main([*words, "--output", second, "--limit", "64", "--seed", "3"]) == 0
    record = json.loads((tmp_path / "second/run.json").read_text())
    assert record["seed"] == 3 and record["images"] == 64
    capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()  # a folder of the same name is "./digits"
    found, picture = tmp_path / "found.json", tmp_path / "confusion.png"
    words = ["evaluate", f"{second}/model.keras", "digits", "--per-class"]
    assert main([*words, "--json", str(found), "--confusion", str(picture)]) == 0
    out, notes = capsys.readouterr()
    assert "360 validation images of 10 classes" in out and "resized as a whole" in notes
    record = json.loads(found.read_text())
    metrics = json.loads((tmp_path / "second/metrics.json").read_text())
    assert record["top1"] == pytest.approx(100 * metrics["val_accuracy"], abs=1e-3)
    assert len(record["per_class"]) == 10 and picture.read_bytes()[:4] == b"\x89PNG"
    assert f"{record['per_class'][3]:6.2f} %  3" in out
    assert main(["evaluate", f"{second}/model.keras", "digits", "--real", "none"]) == 1
    assert "`--real` needs a folder" in capsys.readouterr().err


@compiles_long
def test_a_share_for_validation_and_the_test_images_at_the_end(small, tmp_path, capsys):
    for split, count in (("train", 40), ("test", 8)):
        write_idx(tmp_path, split, count, size=(8, 8))
    words = ["finetune", "--weights", small, "--data", str(tmp_path), "--recipe", "digits-small"]
    words += [*SETTINGS[:-1], "epochs=1"]
    for share, validation in (("0.25", 10), ("0", 0)):
        output = tmp_path / f"run-{validation}"
        assert main([*words, "--validation", share, "--output", str(output)]) == 0
        out = capsys.readouterr().out
        assert f"{40 - validation} training images of 2 classes, {validation} for validation" in out
        name = "best.keras" if validation else "model.keras"
        assert f"% of {name} on 8 images\nwrote" in out
    words = ["finetune", "--weights", small, "--data", "digits", "--validation"]
    for wrong, message in (("1.5", "share in [0, 1)"), ("nowhere", "nowhere, which is not")):
        assert main([*words, wrong, "--output", str(tmp_path / "no")]) == 1
        assert message in capsys.readouterr().err


@compiles_long
def test_a_new_model_from_the_shell(small, tmp_path, capsys):
    words = ["--recipe", "small-images", "--data", "digits", "--limit", "32", "--set", "epochs=1"]
    new = ["pretrain", "crate-alpha:16x1x2", "--patch", "4", "--channels", "3"]
    assert main([*new, *words, "--output", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.startswith("crate-alpha:16x1x2 from initial weights: 32 train")
    model = keras.saving.load_model(tmp_path / "new/model.keras")
    assert type(model) is keras_crate.CRATEAlpha and model.input_shape == (None, 8, 8, 3)
    for option, said in (("--from-scratch", "from initial"), ("--continue", "with its")):
        again = ["pretrain", small, option, *words, "--output", str(tmp_path / option)]
        assert main(again) == 0
        assert capsys.readouterr().out.startswith(f"{small} {said} weights: ")
    with pytest.raises(SystemExit):
        main(["pretrain", small, "--from-scratch", "--continue"])
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.any_backend
def test_the_help_says_which_weights_a_run_begins_with(capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "a variant starts from initial weights. A file or a repository starts from its own" in text
    )
    for words in ("crate:128x4x4 (width, depth, heads", "--patch", "--channels", "--continue"):
        assert words in text


@pytest.mark.any_backend
def test_recipes(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert "imagenet1k-paper" in out and "as the paper reports it" in out
    assert main(["recipes", "cifar10-paper"]) == 0
    out = capsys.readouterr().out
    assert "learning_rate = 5e-05" in out and "rand_augment = [2, 14]" in out


@pytest.mark.any_backend
def test_errors(small, tmp_path, capsys):
    out = ["--output", str(tmp_path / "out")]
    for words, message in (
        (
            ["pretrain", "bsae", "--data", "digits"],
            "no size or variant 'bsae'. Did you mean 'base'",
        ),
        (["pretrain", "crate:128x4", "--data", "digits"], "must be FAMILY:WIDTHxDEPTHxHEADS"),
        (
            ["pretrain", small, "--patch", "4", "--data", "digits"],
            "`patch_size` is for a new model",
        ),
        (["pretrain", small, "--data", "digist"], "Did you mean 'digits'?"),
        (["pretrain", small, "--data", "digits", "--recipe", "imagenet"], "no recipe 'imagenet'"),
        (["pretrain", small, "--data", "digits", "--set", "epochs"], "must be NAME=VALUE"),
        (["pretrain", small, "--data", "digits", "--set", "epoch=2"], "Did you mean 'epochs'"),
        (["finetune", "--weights", "none.keras", "--data", "digits"], "no model file none.keras"),
        (["recipes", "none"], "There is no recipe 'none'"),
    ):
        assert main([*words, *(out if words[0] != "recipes" else [])]) == 1
        error = capsys.readouterr().err
        assert message in error and error.startswith("keras-crate: error: ")
    assert not (tmp_path / "out").exists()
    assert keras.saving.load_model(small)
