"""The base of the layers that turn images into tokens."""

import keras
from keras import ops

from keras_crate.checks import as_pair, check_choice
from keras_crate.layers.composite import CompositeLayer


class Stem(CompositeLayer):
    """Base of the layers that map images to tokens, one for each patch."""

    def __init__(
        self,
        dim: int,
        patch_size: int | tuple[int, int],
        folded_norm: bool = False,
        data_format: str | None = None,
        as_map: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dim = dim
        self.patch_size = as_pair(patch_size, "patch_size")
        self.folded_norm = folded_norm
        data_format = data_format or keras.config.image_data_format()
        self.data_format = check_choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.as_map = as_map
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def channels(self, input_shape) -> int:
        """Channels of images of this shape (batch first)."""
        return input_shape[1 if self.data_format == "channels_first" else -1]

    def _sides(self, input_shape):
        first = 2 if self.data_format == "channels_first" else 1
        return input_shape[first : first + 2]

    def grid(self, input_shape) -> tuple[int | None, int | None]:
        """Rows and columns of patches in images of this shape (batch first)."""
        sides = zip(self._sides(input_shape), self.patch_size, strict=True)
        return tuple(None if side is None else side // patch for side, patch in sides)

    def compute_output_shape(self, input_shape):
        sides = self._sides(input_shape)
        for name, side, patch in zip(("height", "width"), sides, self.patch_size, strict=True):
            if side is not None and (side < patch or side % patch):
                raise ValueError(
                    f"The image {name} must be divisible by the patch's. Received: {name} {side} "
                    f"and patch_size={self.patch_size}. Resize the images to {name} "
                    f"{max(1, round(side / patch)) * patch}, or choose another `patch_size`."
                )
        rows, columns = self.grid(input_shape)
        if self.as_map:
            return (input_shape[0], rows, columns, self.dim)
        tokens = None if rows is None or columns is None else rows * columns
        return (input_shape[0], tokens, self.dim)

    def arranged(self, tokens, images):
        """Arranges the tokens of images, in any shape, as the layer returns them."""
        rows, columns = self.grid(ops.shape(images))
        places = (rows, columns) if self.as_map else (rows * columns,)
        return ops.reshape(tokens, (-1, *places, self.dim))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "dim": self.dim,
            "patch_size": self.patch_size,
            "folded_norm": self.folded_norm,
            "data_format": self.data_format,
            "as_map": self.as_map,
        }
