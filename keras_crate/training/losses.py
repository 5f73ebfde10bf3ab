"""The loss of a recipe, and compiling a model with it."""

import keras

from keras_crate.compiled.labels import (
    Accuracy,
    Crossentropy,
    SmoothedBinaryCrossentropy,
    TopAccuracy,
)
from keras_crate.models import CRATEMAE
from keras_crate.training.optimizers import build_optimizer
from keras_crate.training.recipe import Recipe
from keras_crate.training.simdino import SimDINO


def learns_labels(model: keras.Model) -> bool:
    """Whether a model is trained with labels. Others have their own loss."""
    return not isinstance(model, (CRATEMAE, SimDINO))


def compile_model(model: keras.Model, recipe: Recipe, steps: int, metrics: str = "metrics") -> None:
    """Compiles a model with a recipe's optimizer and loss, for epochs of some steps.

    `metrics` is `"weighted_metrics"` if validation images have weights.
    """
    optimizer = build_optimizer(recipe, model, steps)
    if learns_labels(model):
        measured = [Accuracy(name="accuracy")]
        if model.output_shape[-1] > 5:
            measured.append(TopAccuracy(5, name="top5"))
        model.compile(optimizer=optimizer, loss=_loss(model, recipe), **{metrics: measured})
        return
    for name in ("label_smoothing", "mixup", "cutmix"):
        if getattr(recipe, name):
            raise ValueError(
                f"`{name}` is for models that learn labels. Received: "
                f"{name}={getattr(recipe, name)} with a {type(model).__name__}. Set it to 0."
            )
    model.compile(optimizer=optimizer)


def _loss(model: keras.Model, recipe: Recipe) -> keras.losses.Loss:
    activation = _activation(model)
    logits = activation is keras.activations.linear
    if recipe.loss != "binary_crossentropy":
        return Crossentropy(logits, recipe.label_smoothing)
    if activation is keras.activations.softmax:
        raise ValueError(
            "`loss` binary_crossentropy needs a model of logits or sigmoids. Received: a model "
            "with softmax. Make it with `classifier_activation=None`."
        )
    return SmoothedBinaryCrossentropy(recipe.label_smoothing, from_logits=logits)


def _activation(model: keras.Model):
    """Returns the activation of a classifier's outputs."""
    settings = getattr(model, "settings", None)
    if hasattr(settings, "classifier_activation"):
        return keras.activations.get(settings.classifier_activation)
    return getattr(model.layers[-1], "activation", keras.activations.softmax)
