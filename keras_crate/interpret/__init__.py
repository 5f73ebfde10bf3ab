"""Looking inside a trained model."""

from keras_crate.interpret.attention import attention_maps

__all__ = ["attention_maps"]
