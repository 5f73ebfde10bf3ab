"""What a model of the package needs to be a backbone of KerasHub."""

from collections.abc import Callable, Sequence

from keras_hub.models import Backbone

from keras_crate.keras_internals import parts_of
from keras_crate.models.settings import Settings

_HEADLESS = {"include_top": False, "pooling": None}


class HubBackbone:
    """Mixin that stands before a model's class and `keras_hub.models.Backbone`.

    The backbone is a model without pooling and head: its outputs are the tokens after the
    last block. The head's settings stay in its configuration, unused.
    """

    # Set by the model's class. It cannot be a base here: Keras replaces bases of new models.
    settings: Settings
    layers: list
    get_layer: Callable

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        image_shape: Sequence[int] | None = None,
        trainable: bool = True,
        **settings,
    ):
        if image_shape is not None:  # KerasHub's word
            settings["input_shape"] = tuple(image_shape)
        if settings.get("include_top") or settings.get("pooling"):
            raise ValueError(
                "A backbone has no head and no pooling. Received: "
                f"include_top={settings.get('include_top')!r}, pooling={settings.get('pooling')!r}."
                "\nMake an image classifier with the backbone."
            )
        settings |= {"dim": dim, "depth": depth, "heads": heads} | _HEADLESS
        super().__init__(**settings)
        if not trainable:
            self.trainable = False

    @classmethod
    def from_config(cls, config: dict, custom_objects=None):
        """Makes the backbone of a model from the configuration of either."""
        return super().from_config({**config, **_HEADLESS}, custom_objects)

    def get_config(self) -> dict:
        # With the grid, positions are not resized when `image_shape=(None, None, 3)` is given.
        return {**super().get_config(), "grid": self.get_layer("token_embedding").grid}

    def reset_classifier(self, *_, **__):
        """Refuses, since a backbone has no head."""
        raise ValueError(
            "A backbone has no head. Make an image classifier with the backbone and `num_classes`."
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of the images without the batch."""
        return self.settings.input_shape

    @property
    def data_format(self) -> str:
        """`"channels_last"` or `"channels_first"`."""
        return self.settings.data_format

    def default_lora_layer_names(self) -> list[str]:
        """Returns the names of the linear maps that `enable_lora` adapts."""
        blocks = [layer for layer in self.layers if layer.name.startswith("block_")]
        maps = (part for layer in blocks for part in parts_of(layer, include_self=False))
        return sorted({part.name for part in maps if hasattr(part, "enable_lora")})

    def enable_lora(self, rank: int, target_layer_names: list[str] | None = None) -> None:
        """Adds low-rank adapters, and freezes the rest, as KerasHub does.

        Args:
            rank: Rank of the adapters, 1 or more.
            target_layer_names: Names of the linear maps that get one. By default,
                `default_lora_layer_names()`.
        """
        # `WhiteBoxModel.enable_lora` does not store what `save_lora_weights` needs.
        Backbone.enable_lora(self, rank, target_layer_names)
