"""The optimizer of a recipe: its schedule, weight decay by groups, layer-wise decay."""

import keras

from keras_crate.checks import names_arguments
from keras_crate.compiled.scaled_optimizers import ScaledAdamW, ScaledLion, ScaledSGD
from keras_crate.layers import ISTA, OvercompleteISTA, TokenEmbedding
from keras_crate.models.blocks import block_number
from keras_crate.training.recipe import Recipe
from keras_crate.training.schedule import warmup_cosine

_CLASSES = {
    "lion": (keras.optimizers.Lion, ScaledLion),
    "adamw": (keras.optimizers.AdamW, ScaledAdamW),
    "sgd": (keras.optimizers.SGD, ScaledSGD),
}


@names_arguments
def build_optimizer(
    recipe: Recipe, model: keras.Model, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a recipe for a model.

    Args:
        recipe: The settings.
        model: The model that will be trained.
        steps_per_epoch: Steps of an epoch.

    Returns:
        A Keras optimizer. With `layer_decay` below 1 the learning rate of block
        i of n, counted from 0, is multiplied by `layer_decay^(n - i)`, and that
        of the stem by `layer_decay^(n + 1)`. Weight decay is proportional to
        the rate. With `accumulate` above 1, schedule, clipping, weight decay and
        moving averages are those of the large batch.

    Raises:
        ValueError: If `layer_decay` is below 1 and the model has no blocks.

    Example:

    ```python
    recipe = keras_crate.training.load_recipe("cifar10-paper", layer_decay=0.75)
    optimizer = keras_crate.training.build_optimizer(recipe, model, steps_per_epoch=97)
    model.compile(optimizer, loss="categorical_crossentropy")
    ```

    Reference:
        Bao et al., "BEiT", arXiv:2106.08254, appendix (layer-wise decay).
    """
    settings = {
        "learning_rate": warmup_cosine(
            recipe.learning_rate,
            recipe.epochs,
            recipe.warmup_epochs,
            steps_per_epoch,
            recipe.final_learning_rate,
            recipe.accumulate,
        ),
        "global_clipnorm": recipe.clip_norm,
    }
    if recipe.accumulate > 1:
        settings |= {"gradient_accumulation_steps": recipe.accumulate}
    if recipe.ema is not None:
        settings |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        settings |= {"momentum": recipe.beta_1, "nesterov": True}
    else:
        settings |= {"beta_1": recipe.beta_1, "beta_2": recipe.beta_2}
    plain, scaled = _CLASSES[recipe.optimizer]
    layers = getattr(model, "trained_layers", model.layers)  # of SimDINO, and of others
    not_decayed = [
        variable
        for layer in layers
        for variable in layer.trainable_variables
        if _group(layer, variable) in recipe.no_decay
    ]
    # Keras' own optimizers would change the averages at every step.
    averages_of_updates = recipe.accumulate > 1 and recipe.ema is not None
    if recipe.layer_decay == 1 and not averages_of_updates:
        optimizer = plain(**settings, weight_decay=recipe.weight_decay)
        if not_decayed and recipe.weight_decay:
            optimizer.exclude_from_weight_decay(var_list=not_decayed)
        return optimizer
    return scaled(
        **settings,
        weight_decay=0.0,
        scales=_scales(recipe.layer_decay, layers),
        scaled_weight_decay=recipe.weight_decay,
        not_decayed=[variable.path for variable in not_decayed],
    )


def _scales(layer_decay: float, layers) -> list[float]:
    """The factors of the learning rate of the stem, of each block and of the rest; or none."""
    if layer_decay == 1:
        return []
    numbers = {block_number(layer.name) for layer in layers} - {None}
    if not numbers:
        raise ValueError(
            "`layer_decay` below 1 needs a model with blocks, layers named block_0_... Received: "
            "a model without. Leave it at 1."
        )
    blocks = len(numbers)
    return [layer_decay ** (blocks + 1 - depth) for depth in range(blocks + 2)]


def _group(layer: keras.layers.Layer, variable) -> str | None:
    """Returns the group of `Recipe.no_decay` that a variable belongs to, or None."""
    if isinstance(layer, TokenEmbedding) or variable.path.endswith(("positions", "token")):
        return "positions"
    if variable.path.endswith("/bias"):
        return "biases"
    if isinstance(layer, (ISTA, OvercompleteISTA)):
        return "dictionaries"
    return "norms" if len(variable.shape) < 2 else None
