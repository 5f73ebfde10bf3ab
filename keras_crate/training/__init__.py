"""Training: recipes, and runs that can be resumed."""

from keras_crate.distributed.layout import layout_map
from keras_crate.training.compare import Comparison, compare
from keras_crate.training.demo_from_scratch import DemoRecipe, run_demo_from_scratch
from keras_crate.training.divergence import TrainingDiverged
from keras_crate.training.finetune import finetune
from keras_crate.training.optimizers import build_optimizer
from keras_crate.training.pretrain import pretrain
from keras_crate.training.recipe import Recipe, list_recipes, load_recipe
from keras_crate.training.run import RunOptions
from keras_crate.training.simdino import SimDINO

__all__ = [
    "Comparison",
    "DemoRecipe",
    "Recipe",
    "RunOptions",
    "SimDINO",
    "TrainingDiverged",
    "build_optimizer",
    "compare",
    "finetune",
    "layout_map",
    "list_recipes",
    "load_recipe",
    "pretrain",
    "run_demo_from_scratch",
]


def __dir__():
    return sorted(__all__)
