import json

import pytest

from keras_crate.training import Recipe, list_recipes, load_recipe
from keras_crate.training.recipe import parse_value

pytestmark = pytest.mark.any_backend


def test_the_paper_s_numbers():
    paper = load_recipe("imagenet1k-paper")
    assert (paper.optimizer, paper.learning_rate, paper.weight_decay) == ("lion", 2.4e-4, 0.5)
    assert (paper.batch_size, paper.epochs, paper.warmup_epochs) == (2048, 150, 5)
    assert paper.label_smoothing == 0.1 and paper.flip and paper.crop_area == (0.08, 1.0)
    assert paper.evaluation_crop == 0.875 and paper.image_size == 224
    theirs = load_recipe("imagenet1k-repository")
    assert (theirs.batch_size, theirs.epochs, theirs.warmup_epochs) == (512, 200, 20)
    assert (theirs.learning_rate, theirs.weight_decay) == (2e-4, 0.05)
    assert theirs.optimizer == "lion"  # as what it extends
    for name in ("cifar10", "cifar100", "oxford_flowers102", "oxford_iiit_pet"):
        tuned = load_recipe(f"{name}-paper")
        assert tuned.dataset == name
        assert (tuned.optimizer, tuned.learning_rate, tuned.weight_decay) == ("adamw", 5e-5, 0.01)
        assert (tuned.batch_size, tuned.epochs) == (512, 200)
        assert tuned.rand_augment == (2, 14) and tuned.evaluation_crop == "whole"
    assert load_recipe("finetune-repository").batch_size == 256
    cbt = load_recipe("imagenet1k-cbt")
    assert (cbt.optimizer, cbt.learning_rate, cbt.weight_decay) == ("lion", 2e-4, 0.05)
    assert (cbt.batch_size, cbt.epochs, cbt.warmup_epochs) == (256, 150, 20)
    assert (cbt.label_smoothing, cbt.dataset) == (0.1, "imagenet2012")
    alpha = load_recipe("imagenet21k-alpha")
    assert (alpha.beta_2, alpha.learning_rate, alpha.epochs) == (0.95, 8e-4, 91)
    assert alpha.clip_norm == 1 and alpha.mixup and alpha.cutmix
    assert load_recipe("imagenet1k-alpha").rand_augment == (2, 9)
    mae = load_recipe("imagenet1k-mae")
    assert (mae.epochs, mae.batch_size, mae.interpolation) == (800, 4096, "bicubic")


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_says_what_it_is_for_and_comes_back_from_json(name):
    recipe = load_recipe(name)
    assert recipe.description
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_the_recipes_of_this_package():
    small, photographs = load_recipe("small-images"), load_recipe("photographs")
    assert small.image_size is None  # 28 to 64 pixels, as the images are
    assert photographs.head_epochs and photographs.head_learning_rate > photographs.learning_rate
    assert photographs.batch_size == 32 and photographs.rand_augment


def test_files_and_changes(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "cifar10-paper"\nepochs = 3\nema = 0.99\n')
    (tmp_path / "small.toml").write_text('extends = "mine.toml"\nrand_augment = "none"\n')
    recipe = load_recipe(tmp_path / "small.toml", batch_size=8)
    assert (recipe.epochs, recipe.ema, recipe.rand_augment) == (3, 0.99, None)
    assert recipe.dataset == "cifar10" and recipe.batch_size == 8
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    assert load_recipe(tmp_path / "recipe.json") == recipe
    assert load_recipe(recipe) is recipe
    short = load_recipe("imagenet1k-paper", epochs=2)
    assert short.warmup_epochs == 2  # no longer than the whole
    assert load_recipe("imagenet21k-alpha", learning_rate=1e-7).final_learning_rate == 1e-7


def test_the_crop_follows_the_size():
    from keras_crate import CRATE
    from keras_crate.training.run import evaluation_of

    for side, resize in ((32, 37), (224, 256), (384, 439)):
        recipe = load_recipe("imagenet1k-paper", image_size=side)
        model = CRATE(16, 1, 2, input_shape=(side, side, 3), patch_size=side // 2, classes=2)
        found = evaluation_of(recipe, model)
        assert found.size == (side, side) and found.resize == resize
        whole = evaluation_of(recipe.with_changes(evaluation_crop="whole"), model)
        assert whole.resize == (side, side)


def test_settings_of_the_command_line():
    for name, text, value in (
        ("epochs", "20", 20),
        ("learning_rate", "1e-4", 1e-4),
        ("rand_augment", "[2, 9]", [2, 9]),
        ("rand_augment", "none", None),
        ("flip", "false", False),
        ("optimizer", " lion", "lion"),
        ("dataset", '"a=b"', "a=b"),
    ):
        assert parse_value(name, text) == value
    with pytest.raises(ValueError, match=r"no setting 'epoch'. Did you mean 'epochs'"):
        parse_value("epoch", "20")


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no recipe 'cifar-paper'. Did you mean .*cifar10-paper"):
        load_recipe("cifar-paper")
    with pytest.raises(TypeError, match=r"no argument `epoch`. Did you mean 'epochs'"):
        load_recipe("cifar10-paper", epoch=3)
    for bad in (
        {"epochs": 0}, {"batch_size": 1.5}, {"learning_rate": -1}, {"label_smoothing": 1},
        {"optimizer": "sgdw"}, {"loss": "mse"}, {"no_decay": ["weights"]}, {"layer_decay": 0},
        {"clip_norm": 0}, {"ema": 1}, {"drop_path_rate": 1},
        {"train_only": "body"}, {"evaluation_crop": "part"}, {"mixup": 3}, {"image_size": 0},
        {"warmup_epochs": 500}, {"final_learning_rate": 1.0}, {"beta_2": 1},
        {"evaluation_interpolation": "nearest"},
        # Far out of range: these ended in errors of NumPy and Pillow, or ran for hours.
        {"epochs": 10**400}, {"epochs": 10**9}, {"batch_size": 2**31}, {"image_size": 1_000_000},
        {"learning_rate": 10**400}, {"learning_rate": 1e300}, {"weight_decay": 1e300},
        {"crop_ratio": [1e-300, 1]}, {"crop_ratio": [1, 1e300]}, {"crop_area": [1e-300, 1]},
        {"evaluation_crop": 0.0001}, {"rand_augment": [1_000_000, 30]}, {"shift": 10**9},
        {"mixup": 1e-300},
        *({name: [[1]]} for name in (
            "epochs", "head_epochs", "warmup_epochs", "image_size", "no_decay", "crop_area",
            "learning_rate", "optimizer", "train_only", "description", "simdino", "ema",
        )),
    ):  # fmt: skip
        name = next(iter(bad)).replace("evaluation_interpolation", "interpolation")
        with pytest.raises(ValueError, match=f"`{name}` must"):
            load_recipe("cifar10-paper", **bad)
    with pytest.raises(ValueError, match="float13"):  # Keras says it
        load_recipe("cifar10-paper", precision="float13")
    for text, message in (
        ("epochs = ", "is not valid: .*itself.toml cannot be read: Invalid value"),
        ("epoch = 3", "no setting 'epoch'"),
        ("epochs = -3", "is not valid: `epochs` must be"),
        ('extends = "itself.toml"', "extends itself"),
    ):
        (tmp_path / "itself.toml").write_text(text)
        with pytest.raises(ValueError, match=message):
            load_recipe(tmp_path / "itself.toml")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match="must hold values by name"):
        load_recipe(tmp_path / "list.json")
