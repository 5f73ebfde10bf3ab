"""What a model sees."""

from keras_crate.interpret.attention import attention_maps, rollout
from keras_crate.interpret.intermediates import intermediates

__all__ = ["attention_maps", "intermediates", "rollout"]
