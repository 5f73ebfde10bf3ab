"""The demo: looks into a trained model, fine-tunes it, measures it, saves it and publishes it."""

import os
import time
from pathlib import Path

import keras
import numpy as np

from keras_crate import __version__
from keras_crate.checks import check_positive
from keras_crate.data import garments, load
from keras_crate.data.image_sources import ImageSource
from keras_crate.evaluation import Evaluation
from keras_crate.figure import new_figure
from keras_crate.files import scratch_folder
from keras_crate.hub.pull import pull
from keras_crate.hub.push import push
from keras_crate.models import decode_predictions
from keras_crate.models.load import build
from keras_crate.objective import measure
from keras_crate.training.demo_results import (
    REPOSITORY,
    demo_folder,
    draw_attention,
    write_results,
)
from keras_crate.training.finetune import finetune
from keras_crate.training.recipe import load_recipe
from keras_crate.training.run_facts import facts_of_run
from keras_crate.weights.variants import variant_named

VARIANT = "crate_fashion_mnist"
DATA = "digits"
# Changes of the recipe `digits-small`, with which few epochs are enough.
RECIPE = {
    "dataset": DATA, "batch_size": 64, "learning_rate": 3e-3, "warmup_epochs": 0, "clip_norm": 1.0,
    "crop_area": None,
}  # fmt: skip
EPOCHS, FAST_EPOCHS = 3, 1
MEASURED = 256  # images
ADDRESS = "hf://user/crate-digits"
TOLERANCE = 1e-5  # of probabilities, which float32 rounds


def run_demo(
    output: str | os.PathLike = "crate-demo", epochs: int = EPOCHS, seed: int = 0, say=print
) -> dict:
    """Looks into a trained CRATE, fine-tunes it to other images, measures it and saves it.

    The weights ship with the package, and no network is needed. The model names six
    photographs of clothes that it was not trained on. Then it is fine-tuned to
    scikit-learn's digits, measured at every layer, saved, and written as a repository of the
    Hub, from which it is loaded again. Returns the content of metrics.json.
    """
    check_positive("epochs", epochs)
    new_figure(1, 1)  # without matplotlib this fails before the training, not after it
    output = demo_folder(output)
    keras.utils.set_random_seed(seed)
    variant = variant_named(VARIANT)
    model = build(variant, data_format="channels_last")
    untrained = build(variant, weights=None, data_format="channels_last")
    say(
        f"{VARIANT}: {variant.parameters:,} parameters, trained on {variant.data}, accuracy "
        f"{variant.measured} % on {variant.measured_on}; backend {keras.backend.backend()}\n"
    )
    seen, predictions = _look(model, say)

    digits = load(DATA)
    say(f"\nFine-tuning to other images: {digits.source}")
    recipe = load_recipe("digits-small", epochs=epochs, **RECIPE)
    start = time.monotonic()
    with scratch_folder() as folder:
        run = finetune(model, digits, folder, recipe=recipe, seed=seed)
        facts = facts_of_run(run.file)
    seconds, model = time.monotonic() - start, run.model
    accuracy, images = run.metrics["val_accuracy"], prepared(digits.validation, model)
    measured, before = measure(model, images), measure(untrained, images)
    say(f"validation accuracy {accuracy:.1%} after {seconds:.0f} s\n\n{measured}\n")

    training = {**facts.training, "model": VARIANT}
    card = {"dataset": facts.dataset, "metrics": facts.metrics, "training": training}
    push(model, ADDRESS, dry_run=output / REPOSITORY, license="mit", **card)
    difference = largest_difference(model, output / REPOSITORY, images)
    say(f"The model read from {REPOSITORY}/: outputs differ by at most {difference:.1g}\n")

    metrics = {
        "variant": VARIANT,
        "parameters": model.count_params(),
        "garments": predictions,
        "data": digits.source,
        "accuracy": accuracy,
        "validation_images": len(digits.validation),
        "finetuning_seconds": round(seconds, 1),
        "seed": seed,
        "backend": keras.backend.backend(),
        "versions": {"keras": keras.__version__, "keras_crate": __version__},
        "recipe": recipe.to_dict(),
        "history": run.history,
        "layers_untrained": before.to_dict(),
        "layers": measured.to_dict(),
        "repository_difference": difference,
    }
    figures = {
        "sees.png": seen,
        "layers.png": before.plot("untrained", {"fine-tuned": measured}),
    }
    write_results(output, model, metrics, figures, say, repository=True)
    return metrics


def _look(model: keras.Model, say) -> tuple:
    """Returns the figure of what the model sees in the garments, and the likeliest classes."""
    images, labels = garments()
    names = decode_predictions(model.predict(images, verbose=0), model, top=1)
    found = [
        {"label": model.class_names[label], "prediction": name, "probability": float(probability)}
        for label, [(name, probability)] in zip(labels, names, strict=True)
    ]
    say("Test images of Fashion-MNIST, which it was not trained on:")
    for row in found:
        say(f"  {row['label']}: {row['prediction']} ({row['probability']:.1%})")
    figure = new_figure(9, 3.4)
    draw_attention(figure, model, images)
    return figure, found


def prepared(source: ImageSource, model: keras.Model) -> np.ndarray:
    """Returns the first images of a source as a model takes them."""
    return Evaluation.for_model(model).batches(source, model, MEASURED)[0][0]


def largest_difference(model: keras.Model, repository: Path, images) -> float:
    """Reads the model from a repository's folder, and returns the largest difference of outputs."""
    read = pull(str(repository))
    outputs = (which.predict(images, verbose=0) for which in (model, read))
    difference = float(np.abs(np.subtract(*outputs)).max())
    if not difference <= TOLERANCE:  # NaN too
        raise OSError(
            f"The model that was read from {repository} is another than the one that was written: "
            f"outputs differ by {difference:.1g}."
        )
    return difference
