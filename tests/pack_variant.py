"""Makes the folder of a variant that ships with the package, from the folder of a run:

    python tests/pack_variant.py RUN NAME

It writes weights/NAME, and prints the variant's table for weights/variants.toml.
"""

import argparse
import inspect
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_crate.data import open_data
from keras_crate.evaluation import Evaluation, accuracy
from keras_crate.files import write_json, written_whole
from keras_crate.hub.card import model_card
from keras_crate.hub.description import is_classifier
from keras_crate.hub.open_model import open_model
from keras_crate.hub.papers import papers_of
from keras_crate.hub.published import Published
from keras_crate.hub.repository_files import write_figure
from keras_crate.hub.verify import outputs_for_fixed_input
from keras_crate.models.half_precision import save_in_half
from keras_crate.models.rebuild import carry_weights, rebuild
from keras_crate.training import list_recipes, load_recipe
from keras_crate.training.run_facts import facts_of_run
from keras_crate.training.run_folder import RunFolder
from keras_crate.training.simdino import SimDINO
from keras_crate.weights.variants import IMAGENET_EVALUATION, MODEL_FILE, weights_folder

LARGEST = 4 << 20  # bytes of a variant's folder
# Settings that `build` takes from the weights, or that a recipe sets.
_NOT_ARGUMENTS = {"name", "dtype", "evaluation", "weights", "drop_path_rate", "dropout_rate"}


def pack(
    run_folder, name: str, *, data: str | None = None, dtype: str | None = "float16",
    images: int = 64, licence: str = "mit", weights: Path | None = None,
) -> Path:  # fmt: skip
    """Writes the folder of a variant.

    Args:
        run_folder: Folder of a finished run. Its best.keras is taken, or model.keras if the
            run has no validation accuracy.
        name: The variant's name.
        data: Data whose validation images are used. By default, the recipe's.
        dtype: `"float16"`, or None to store the weights as they are.
        images: Number of validation images on which every block is measured.
        licence: Licence of the weights.
        weights: Folder to write the variant's folder to. By default, the registry's.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder would be larger than 4 MiB, or its files name a path of this
            machine.
    """
    run = RunFolder(run_folder)
    file = run.best if run.best.exists() else run.model
    model = open_model(str(file))[0]
    if isinstance(model, SimDINO):
        model = model.encoder()
    if model.dtype_policy.name != "float32":  # as `keras_crate.load` makes it
        trained, model = model, rebuild(model, dtype="float32")
        carry_weights(trained, model)
    facts = facts_of_run(file)
    record = json.loads(run.record.read_text("utf8"))
    recipe = json.loads(run.recipe.read_text("utf8"))
    opened = open_data(data or record.get("dataset") or recipe["dataset"])
    if len(opened.validation) != record["validation_images"]:
        raise ValueError(
            "The validation images must be those of the run. Received: "
            f"{len(opened.validation)} instead of {record['validation_images']}"
        )
    if is_classifier(model) and not model.class_names:
        trained, model = model, rebuild(model, class_names=opened.class_names)
        carry_weights(trained, model)
    evaluation = Evaluation.for_model(model)
    evaluation.keep_in(model)
    batches = evaluation.batches(opened.validation, model, 64, 1, classes=opened.classes)
    metrics = json.loads(run.metrics.read_text("utf8"))
    if metrics.get("test_of") == file.name:
        metrics["test_of"] = MODEL_FILE
    target = (weights or weights_folder()) / name
    with written_whole(target) as folder:
        folder.mkdir()
        if dtype is None:
            model.save(folder / MODEL_FILE)
        else:
            save_in_half(model, folder / MODEL_FILE)
        stored = keras.saving.load_model(folder / MODEL_FILE)
        results = dict(facts.metrics)
        if is_classifier(model):
            results["validation_accuracy"] = _accuracy(model, batches)
            if dtype is not None:
                results[f"validation_accuracy_{dtype}"] = _accuracy(stored, batches)
        measured = write_figure(stored, _first(batches, images), folder / "layers.png")
        for path in (run.recipe, run.history):
            shutil.copy(path, folder)
        del record["machine"]
        write_json(folder / run.record.name, record)
        outputs = [round(float(value), 5) for value in outputs_for_fixed_input(stored)[0, :5]]
        metrics |= {**results, "outputs": outputs}
        write_json(folder / run.metrics.name, metrics)
        card = card_of(folder, str(measured), licence)
        (folder / "README.md").write_text(card, "utf8")
        _check(folder)
    return target


def card_of(folder: Path, layers: str, licence: str = "mit") -> str:
    """Returns the card of a variant's folder, which is made of its files.

    Args:
        folder: The folder, without or with a card.
        layers: The table of the measured blocks.
        licence: Licence of the weights.
    """
    file, run = folder / MODEL_FILE, RunFolder(folder)
    metrics = json.loads(run.metrics.read_text("utf8"))
    facts = facts_of_run(run.best if "best_epoch" in metrics else run.model)
    names = ["validation_accuracy", "validation_accuracy_float16"]
    if metrics.get("test_of") == MODEL_FILE:
        names.insert(1, "test_accuracy")
    model = keras.saving.load_model(file)
    published = Published(
        folder.name,
        dataset=facts.dataset or json.loads(run.recipe.read_text("utf8"))["dataset"],
        metrics={name: metrics[name] for name in names if name in metrics},
        license=licence,
        dtype="float16" if _is_in_half(file) else None,
        training=facts.training,
        evaluation=Evaluation.for_model(model),
    )
    return str(model_card(model, published, layers, {path.name for path in folder.iterdir()}))


def layers_of(card: str) -> str:
    """Returns the table of the measured blocks in a card."""
    return re.findall(r"```text\n(block .*?)\n```", card, re.DOTALL)[0]


def _is_in_half(file: Path) -> bool:
    with (
        zipfile.ZipFile(file) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights,
    ):
        dtypes = []
        weights.visititems(lambda name, item: dtypes.append(str(getattr(item, "dtype", ""))))
    return "float16" in dtypes


def _accuracy(model, batches) -> float:
    return accuracy(model, batches, top=(1,)).summary()["top1"] / 100


def _first(batches, count: int) -> np.ndarray:
    """The first images of a data set, as the model takes them."""
    found = []
    for images, *_ in batches:
        found.append(np.asarray(keras.ops.convert_to_numpy(images)))
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count]


def _check(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > LARGEST:
        raise ValueError(f"A variant must have at most {LARGEST:,} bytes. Received: {size:,}")
    for path in (*folder.glob("*.json"), folder / "README.md"):
        found = re.search(r'["` ](/\w[^"`\s]*/[^"`\s]*)', path.read_text("utf8"))
        if found:
            raise ValueError(f"{path.name} names a path of this machine: {found[1]}")


def table(folder: Path) -> str:
    """Returns the table of `variants.toml` for a variant's folder, as far as it is known."""
    model = keras.saving.load_model(folder / MODEL_FILE)
    run, recipe, metrics = (
        json.loads((folder / name).read_text("utf8"))
        for name in ("run.json", "recipe.json", "metrics.json")
    )
    family = type(model).__name__
    recipe_name = next((name for name in list_recipes() if is_recipe(name, recipe)), None)
    if recipe_name is None:
        print(
            "No recipe of the package has the run's settings: the command will not make it again."
        )
    command = f"keras-crate pretrain {folder.name} --output RUN"
    if run["weights"] == "given":
        command = (
            f"keras-crate finetune --weights {run['model']} --recipe {recipe_name} --output RUN"
        )
    values = {
        "constructor": family,
        "arguments": arguments_of(model),
        "weights": [recipe["dataset"] or folder.name],
        "state": "shipped",
        "data": run["data"],
        "parameters": sum(int(np.prod(w.shape)) for w in model.weights if _counts(w)),
        "source": f"`{command}`, seed {run['seed']}, on {run['backend']}",
        "licence": "MIT",
    }
    if "test_accuracy" in metrics or "validation_accuracy" in metrics:
        split = "test" if "test_accuracy" in metrics else "validation"
        values["measured"] = round(100 * metrics[f"{split}_accuracy"], 2)
        images = metrics.get("test_images") if split == "test" else run["validation_images"]
        values["measured_on"] = f"{images:,} {split} images"
    evaluation = Evaluation.for_model(model)
    values["evaluation"] = {
        k: v for k, v in evaluation.to_dict().items()
        if k in IMAGENET_EVALUATION and v != IMAGENET_EVALUATION[k]
    }  # fmt: skip
    if not is_classifier(model):
        values["outputs"] = "embeddings"
    values["paper"] = "arXiv:" + re.findall(r"abs/([\d.]+)", papers_of(model)[-1])[0]
    if recipe_name:
        values["recipe"] = recipe_name
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value != {}]
    return "\n".join([f"[{folder.name}]", *lines])


def is_recipe(name: str, recipe: dict) -> bool:
    """Whether a run's recipe.json has the settings of one of the package's recipes."""
    named = load_recipe(name).to_dict()
    # A variant keeps its own image size, and an older run has no newer settings.
    settings = {k: v for k, v in recipe.items() if k != "description"}
    return all(named.get(k) == v for k, v in settings.items() if (k, v) != ("image_size", None))


def arguments_of(model) -> dict:
    """The arguments of a model's constructor that are not defaults."""
    defaults = {k: p.default for k, p in inspect.signature(type(model)).parameters.items()}
    config = json.loads(json.dumps(model.get_config()))
    found = {}
    for key, value in config.items():
        default = defaults.get(key)
        plain = list(default) if isinstance(default, tuple) else default
        if key in defaults and key not in _NOT_ARGUMENTS and value not in (plain, None):
            found[key] = value
    if found.get("data_format") == "channels_last":
        del found["data_format"]
    if len({*found["patch_size"]}) == 1:
        found["patch_size"] = found["patch_size"][0]
    return found


def _counts(weight) -> bool:
    return not any(word in weight.path for word in ("seed", "moving_"))


def _toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("name", help="name of the variant")
    parser.add_argument("--data", help="data with the validation images (the recipe's)")
    parser.add_argument("--images", type=int, default=64, help="to measure blocks on (%(default)s)")
    parser.add_argument("--float32", action="store_true", help="store the weights as they are")
    words = parser.parse_args()
    dtype = None if words.float32 else "float16"
    folder = pack(words.run, words.name, data=words.data, images=words.images, dtype=dtype)
    for key, value in json.loads((folder / "metrics.json").read_text("utf8")).items():
        print(f"{key}: {value}")
    print(f"wrote {folder}\n\n{table(folder)}")
