"""The phases of a run: the head alone, then everything."""

import contextlib
import dataclasses

import keras

from keras_crate.keras_internals import parts_of
from keras_crate.models import CRATEMAE
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training.losses import compile_model
from keras_crate.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Phase:
    """Epochs that train the same weights, with an optimizer of their own."""

    last: int  # number of the run's epochs at the end of the phase
    head_only: bool
    recipe: Recipe  # with the epochs, the warm-up and the learning rate of the phase
    is_final: bool = True

    @contextlib.contextmanager
    def compiled(self, model: keras.Model, steps: int, metrics: str = "metrics"):
        """Freezes and compiles the model for the phase.

        What was frozen is trainable again after an error and before the next
        phase. After the final one it stays, as the optimizer knows it.
        """
        if not self.head_only:
            compile_model(model, self.recipe, steps, metrics)
            yield
            return
        before = freeze_all_but_head(model)
        finished = False
        try:
            compile_model(model, self.recipe, steps, metrics)
            yield
            finished = True
        finally:
            if not (finished and self.is_final):
                for part, trainable in before:
                    part.trainable = trainable


def phases_of(recipe: Recipe) -> list[Phase]:
    """Returns the phases of a recipe, one or two."""
    head = recipe.head_epochs
    rest = recipe.with_changes(epochs=recipe.epochs - head, head_epochs=0)
    phases = [Phase(recipe.epochs, recipe.train_only == "head", rest)]
    if head:
        rate = recipe.head_learning_rate or recipe.learning_rate
        changes = {"epochs": head, "head_epochs": 0, "warmup_epochs": 0, "learning_rate": rate}
        phases.insert(0, Phase(head, True, recipe.with_changes(**changes), is_final=False))
    return phases


def freeze_all_but_head(model: keras.Model) -> list[tuple[keras.layers.Layer, bool]]:
    """Freezes all but a classifier's head, and returns all layers with what they were before.

    The head of a model that is not of this package is its last layer with weights.
    """
    if isinstance(model, CRATEMAE):
        raise ValueError(
            "`head_epochs` and `train_only` are for classifiers. Received: a CRATEMAE. Leave them "
            "out, or fine-tune its encoder."
        )
    # A layer comes before its parts, which it sets too.
    before = [(part, part.trainable) for layer in model.layers for part in parts_of(layer)]
    if isinstance(model, WhiteBoxModel):
        model.freeze_backbone()
    else:
        *others, _ = [layer for layer in model.layers if layer.weights]
        for layer in others:
            layer.trainable = False
    return before
