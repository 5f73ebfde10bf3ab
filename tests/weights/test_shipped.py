"""Variants that ship with the package: what is there, and how one is made from a run."""

import json
import re

import keras
import numpy as np
import pytest
from authors import parameters_of
from pack_variant import arguments_of, is_recipe, pack, table

import keras_crate
from keras_crate.data import open_data
from keras_crate.data.open_data import KNOWN_SETS
from keras_crate.evaluation import Evaluation, accuracy
from keras_crate.hub import list_weights, verify
from keras_crate.hub.open_model import open_classifier, open_model
from keras_crate.models.half_precision import save_in_half
from keras_crate.training import load_recipe, pretrain
from keras_crate.training.pretrain import recipe_for_model
from keras_crate.weights import variants as registry
from keras_crate_cli import main

SHIPPED = [v for v in registry.variants().values() if v.state == "shipped"]
FILES = {
    "model.keras", "README.md", "layers.png", "recipe.json", "run.json", "history.csv",
    "metrics.json",
}  # fmt: skip
BEFORE_FOLDERS = "crate_demo_mnist"  # it was trained before variants had such folders
SMALL = {"input_shape": (16, 16, 1), "patch_size": 8}


@pytest.mark.any_backend
@pytest.mark.parametrize("variant", SHIPPED, ids=lambda variant: variant.name)
def test_its_folder_is_complete_and_small(variant):
    folder = variant.shipped_file.parent
    found = {path.name for path in folder.iterdir()}
    assert found == (FILES if variant.name != BEFORE_FOLDERS else {"model.keras", "README.md"})
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4 << 20
    card = (folder / "README.md").read_text("utf8")
    first = re.search(rf"^# {variant.name}\n\n```python\n(.*?)```", card, re.DOTALL | re.MULTILINE)
    assert f'keras_crate.load("{variant.name}")' in first[1]
    exec(first[1], {})
    if variant.name == BEFORE_FOLDERS:
        return
    metrics = json.loads((folder / "metrics.json").read_text("utf8"))
    if variant.classifies:
        measured = metrics.get("test_accuracy", metrics["validation_accuracy"])
        assert variant.measured == pytest.approx(100 * measured, abs=0.006)
    command = r"`(keras-crate (pretrain|finetune) .*--output RUN|python examples/.*)`, seed \d+, on"
    assert re.match(command, variant.source)
    run = json.loads((folder / "run.json").read_text("utf8"))
    assert ("keras-crate pretrain" in variant.source) == (run["weights"] == "initial")
    if run["weights"] == "initial":
        assert run["model"] == variant.name
    recipe = json.loads((folder / "recipe.json").read_text("utf8"))
    assert is_recipe(variant.recipe, recipe), "the command makes another model"
    assert recipe["dataset"] in KNOWN_SETS


@pytest.mark.any_backend
def test_all_of_them_are_small_together():
    files = [path for path in registry.weights_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 << 20
    names = {path.name for path in registry.weights_folder().iterdir() if path.is_dir()}
    assert names == {variant.name for variant in SHIPPED}


@pytest.mark.parametrize("variant", SHIPPED, ids=lambda variant: variant.name)
def test_it_loads_and_computes_what_it_did(variant, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # no network
    model = keras_crate.load(variant.name)
    assert parameters_of(model) == variant.parameters
    assert model.dtype == "float32"
    if variant.name != BEFORE_FOLDERS:
        stored = json.loads((variant.shipped_file.parent / "metrics.json").read_text("utf8"))
        np.testing.assert_allclose(verify(variant.name).outputs, stored["outputs"], atol=2e-3)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "variant",
    # Their images come with a package.
    [v for v in SHIPPED if v.classifies and {"mnist", "mnist5k", "digits"} & {*v.weights}],
    ids=lambda variant: variant.name,
)
def test_it_tells_classes(variant):
    model, evaluation = open_model(variant.name)
    source = open_data("digits" if "digits" in variant.weights else "mnist5k").validation.sample(
        200
    )
    scores = accuracy(model, evaluation.batches(source, model, 200, 1), top=(1,))
    assert scores.summary()["top1"] > variant.measured - 4  # 200 images: two standard deviations


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A registry of the test's own. Returns a function that adds a table to it."""
    monkeypatch.setattr(registry, "weights_folder", lambda: tmp_path)
    text = []

    def add(table: str) -> None:
        text.append(table)
        (tmp_path / "variants.toml").write_text("\n\n".join(text), "utf8")
        registry.variants.cache_clear()

    add("")
    yield add
    registry.variants.cache_clear()


def _add(zoo, tmp_path, model, name, outputs):
    (tmp_path / name).mkdir()
    Evaluation.for_model(model).keep_in(model)
    save_in_half(model, tmp_path / name / "model.keras")
    arguments = ", ".join(f"{k} = {json.dumps(v)}" for k, v in arguments_of(model).items())
    zoo(f"""[{name}]
constructor = "{type(model).__name__}"
arguments = {{{arguments}}}
weights = ["clothes"]
state = "shipped"
data = "clothes"
parameters = {parameters_of(model)}
outputs = "{outputs}"
notes = "It has no head."
paper = "arXiv:2306.01129"
""")


@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        (lambda: keras_crate.CRATEMAE(24, 1, 2, **SMALL), "embeddings"),
        (lambda: keras_crate.CRATEMAEEncoder(24, 1, 2, **SMALL, include_top=False), "embeddings"),
        (lambda: keras_crate.CRATE(24, 1, 2, **SMALL, include_top=False), "embeddings"),
        (lambda: keras_crate.CRATEAlpha(24, 1, 2, **SMALL, classes=2), "classes"),
        (lambda: keras_crate.CBT(24, 1, 2, **SMALL, classes=2), "classes"),
        (lambda: keras_crate.CRATE(24, 1, 2, **SMALL, classes=2, compress="cbsa"), "classes"),
    ],
    ids=["mae", "mae-encoder", "encoder", "alpha", "cbt", "cbsa"],
)
@pytest.mark.any_backend
def test_every_family_can_ship(make, outputs, zoo, tmp_path, capsys):
    model, name = make(), "small_one"
    _add(zoo, tmp_path, model, name, outputs)
    loaded = keras_crate.load(name)
    assert type(loaded) is type(model) and parameters_of(loaded) == parameters_of(model)
    for ours, stored in zip(loaded.weights, model.weights, strict=True):
        if "seed" not in ours.path:
            values = keras.ops.convert_to_numpy(stored).astype("float16").astype("float32")
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), values)
    arguments = arguments_of(model)
    same = type(model)(**arguments, weights="clothes")
    kernel = "patch_embedding"
    for ours, theirs in zip(
        same.get_layer(kernel).get_weights(), loaded.get_layer(kernel).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    [row] = list_weights()
    assert (row.variant, row.state, row.cached) == (name, "shipped", True)
    assert np.isfinite(verify(name).outputs).all()
    if outputs == "classes":
        assert open_classifier(name)[0].output_shape == (None, 2)
    else:
        image = tmp_path / "a.png"
        keras.utils.save_img(image, np.zeros((16, 16, 1)))
        assert main(["predict", name, str(image)]) == 1
        assert "outputs of small_one are not classes" in capsys.readouterr().err


@pytest.mark.any_backend
def test_a_run_becomes_a_variant(zoo, tmp_path):
    changes = {"dataset": "digits", "epochs": 1, "image_size": None, "precision": "mixed_bfloat16"}
    recipe = load_recipe("digits-small", **changes)
    run = pretrain(
        "crate:24x1x2", output=tmp_path / "run", recipe=recipe, patch_size=4, limit=64, verbose=0
    )
    folder = pack(run.folder, "crate_small_digits", weights=tmp_path, images=4)
    assert {path.name for path in folder.iterdir()} == FILES
    metrics = json.loads((folder / "metrics.json").read_text("utf8"))
    assert metrics["validation_accuracy"] == pytest.approx(
        run.metrics["best_val_accuracy"], abs=0.02
    )
    assert keras.saving.load_model(folder / "model.keras").dtype_policy.name == "float32"
    assert abs(metrics["validation_accuracy_float16"] - metrics["validation_accuracy"]) < 0.02
    card = (folder / "README.md").read_text("utf8")
    said = ['keras_crate.load("crate_small_digits")', "(layers.png)", "block", "half precision"]
    said += ["- seed: 0", "- versions: keras ", "validation_accuracy_float16"]
    for words in said:
        assert words in card
    assert "hf://" not in card and "snapshot_download" not in card
    zoo(table(folder))
    assert '[crate_small_digits]\nconstructor = "CRATE"' in table(folder)
    outputs = keras_crate.hub.verify("crate_small_digits").outputs
    np.testing.assert_allclose(outputs, metrics["outputs"], atol=1e-4)
    assert registry.variants()["crate_small_digits"].source == (
        "`keras-crate pretrain crate_small_digits --output RUN`, seed 0, on "
        + keras.backend.backend()
    )


@pytest.mark.any_backend
def test_a_folder_that_is_too_large_or_names_a_path_is_not_written(tmp_path, monkeypatch):
    recipe = load_recipe("digits-small", dataset="digits", epochs=1)
    model = keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=10)
    run = pretrain(model, output=tmp_path / "run", recipe=recipe, limit=64, verbose=0)
    monkeypatch.setattr("pack_variant.LARGEST", 1000)
    with pytest.raises(ValueError, match="at most 1,000 bytes"):
        pack(run.folder, "a", weights=tmp_path)
    monkeypatch.undo()
    record = (run.folder / "run.json").read_text()
    (run.folder / "run.json").write_text(record.replace('"CRATE"', '"/home/a/b.keras"'))
    with pytest.raises(ValueError, match=r"run\.json names a path of this machine: /home/a"):
        pack(run.folder, "a", weights=tmp_path)
    assert not (tmp_path / "a").exists()


@pytest.mark.any_backend
def test_pretrain_makes_a_variant_again(zoo, tmp_path, capsys):
    """By its name alone: its model, its recipe and the recipe's data."""
    zoo("""[crate_small_digits]
constructor = "CRATE"
arguments = {dim = 16, depth = 1, heads = 2, input_shape = [8, 8, 1], patch_size = 4, classes = 10}
weights = ["digits"]
state = "unpublished"
data = "digits"
parameters = 1
paper = "arXiv:2306.01129"
recipe = "digits-small"

[mae_small_digits]
constructor = "CRATEMAE"
arguments = {dim = 16, depth = 1, heads = 2, input_shape = [8, 8, 1], patch_size = 4}
weights = ["digits"]
state = "unpublished"
data = "digits"
parameters = 1
paper = "arXiv:2404.02446"
recipe = "digits-small"
outputs = "embeddings"
""")
    first = {}
    for name, family in (("crate_small_digits", "CRATE"), ("mae_small_digits", "CRATEMAE")):
        assert recipe_for_model(name) == "digits-small"
        words = ["--set", "dataset=digits", "--set", "epochs=1", "--limit", "64"]
        words += ["--set", "label_smoothing=0"]
        assert main(["pretrain", name, "--output", str(tmp_path / name), *words]) == 0
        first[name] = open_model(str(tmp_path / name / "model.keras"))[0]
        assert type(first[name]).__name__ == family
        record = json.loads((tmp_path / name / "run.json").read_text())
        assert (record["model"], record["weights"]) == (name, "initial")
    # The same model by its width, depth and heads has the same weights.
    sizes = ["--model", "crate:16x1x2", "--patch", "4", "--recipe", "digits-small", *words]
    sizes += ["--set", "image_size=8"]
    assert main(["pretrain", "--output", str(tmp_path / "by-size"), *sizes]) == 0
    again = open_model(str(tmp_path / "by-size/model.keras"))[0]
    for a, b in zip(again.get_weights(), first["crate_small_digits"].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
