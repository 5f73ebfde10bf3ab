"""Training: recipes and runs."""

from keras_crate.training.demo import DemoRecipe, run_demo

__all__ = ["DemoRecipe", "run_demo"]
