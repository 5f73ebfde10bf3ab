"""Training: recipes and runs."""

from keras_crate.training.demo import DemoRecipe, run_demo
from keras_crate.training.pretrain import PretrainRecipe, pretrain

__all__ = ["DemoRecipe", "PretrainRecipe", "pretrain", "run_demo"]
