import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.cli.main import main
from keras_crate.training import PretrainRecipe, pretrain

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 2}
RECIPE = PretrainRecipe(epochs=12, warmup_epochs=1, batch_size=8, learning_rate=3e-3)


@pytest.fixture
def folder(tmp_path):
    """Two classes that colours tell apart."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("bluish", "reddish")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.uniform(0, 120, (20, 20, 3))
            pixels[..., 2 - 2 * k] += 120
            keras.utils.save_img(tmp_path / "images" / name / f"{i}.png", pixels, scale=False)
    return tmp_path / "images"


def test_it_learns_and_writes(folder, tmp_path):
    model = keras_crate.CRATE(24, 1, 2, **SMALL, class_names=["bluish", "reddish"])
    run = pretrain(
        model, folder, tmp_path / "out", recipe=RECIPE, validation=folder, verbose=0, seed=1
    )
    assert len(run.history["loss"]) == 12
    assert run.history["loss"][-1] < 0.75 * run.history["loss"][0]
    assert run.accuracy["top1"] == 100
    saved = keras.saving.load_model(run.file)
    assert isinstance(saved.optimizer, keras.optimizers.Lion)
    assert saved.optimizer.weight_decay == 0.5
    lines = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert len(lines) == 13 and "loss" in lines[0]


def test_the_command(folder, tmp_path, capsys, monkeypatch):
    from keras_crate.hub import registry

    variant = registry.variant_named("crate_tiny_cifar10")
    small = {"dim": 24, "depth": 1, "heads": 2, **SMALL}
    made = dataclass_replace(variant, constructor="CRATE", arguments=small)
    monkeypatch.setattr(registry, "variants", lambda: {"crate_tiny_cifar10": made})
    command = ["pretrain", "crate_tiny_cifar10", "--data", str(folder), "--epochs", "1"]
    command += ["--batch-size", "8", "--output", str(tmp_path / "out")]
    assert main([*command, "--validation", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "top1" in out and "model.keras" in out
    assert keras.saving.load_model(tmp_path / "out" / "model.keras").settings.dim == 24


def dataclass_replace(variant, **changes):
    import dataclasses

    return dataclasses.replace(variant, **changes)


def test_what_is_refused(folder, tmp_path):
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    with pytest.raises(ValueError, match="no variant 'crate_huge'"):
        pretrain("crate_huge", folder)
    for bad in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": -1}, {"label_smoothing": 2}):
        with pytest.raises(ValueError, match=f"`{next(iter(bad))}` must be"):
            PretrainRecipe(**bad)
    with pytest.raises(ValueError, match="`warmup_epochs` must be in"):
        PretrainRecipe(epochs=2, warmup_epochs=3)
    with pytest.raises(ValueError, match=r"or a model of keras_crate. Received: Sequential"):
        pretrain(keras.Sequential([keras.layers.Dense(2)]), folder)
    with pytest.raises(ValueError, match="must be a classifier"):
        pretrain("crate_mae_base_imagenet", folder)
    with pytest.raises(ValueError, match=r"none"):
        pretrain(model, tmp_path / "none")
    assert not (tmp_path / "crate-pretrain").exists()
