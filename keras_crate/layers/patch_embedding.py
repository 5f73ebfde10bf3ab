"""PatchEmbedding: turns images into tokens."""

import keras
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.layers.initializers import linear_initializers
from keras_crate.layers.stem import Stem


@keras.saving.register_keras_serializable(package="keras_crate")
class PatchEmbedding(Stem):
    """Cuts images into patches and maps each to a token.

    Patches do not overlap. The pixels of a patch, in (row, column, channel)
    order, are normalised, mapped linearly to `dim` and normalised again.
    Without the normalisations, the layer is a convolution whose stride is its
    kernel size.

    Args:
        dim: Token width d.
        patch_size: Side of a patch in pixels, or a pair (height, width).
        epsilon: Added to the variance in both normalisations.
        use_norm: Whether patches and tokens are normalised.
        folded_norm: Whether the linear map holds the scale and the offset of
            the patches' normalisation, as in the models of `keras_crate.fuse`.
        kernel_initializer: Initialiser of the linear map. By default uniform in
            `[-1/sqrt(m), 1/sqrt(m)]` for patches of m numbers, the bias too.
            With an initialiser given, the bias starts at zero.
        data_format: `"channels_last"` or `"channels_first"`. By default
            `keras.config.image_data_format()`.
        as_map: Whether the tokens are returned as a map, for images of any size.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Images of shape `(batch, height, width, channels)`, or
            `(batch, channels, height, width)` with channels first. Height and
            width must be divisible by the patch's.

    Returns:
        Tokens of shape `(batch, n, dim)`, row by row over the grid of patches. With
        `as_map`, of shape `(batch, rows, columns, dim)`.

    Raises:
        ValueError: If the patch size is not a positive integer or a pair of
            them, or does not divide the image.

    Example:

    ```python
    images = keras.random.uniform((2, 224, 224, 3))
    tokens = keras_crate.layers.PatchEmbedding(384, 16)(images)  # (2, 196, 384)
    ```
    """

    @names_arguments
    def __init__(
        self,
        dim: int,
        patch_size: int | tuple[int, int],
        epsilon: float = 1e-5,
        use_norm: bool = True,
        kernel_initializer=None,
        data_format: str | None = None,
        folded_norm: bool = False,
        as_map: bool = False,
        **kwargs,
    ):
        super().__init__(dim, patch_size, folded_norm, data_format, as_map, **kwargs)
        self.epsilon = epsilon
        self.use_norm = use_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)  # refuses images that patches do not tile
        channels = self.channels(input_shape)
        patch_shape = (None, None, self.patch_size[0] * self.patch_size[1] * channels)
        token_shape = (None, None, self.dim)
        initializers = linear_initializers(patch_shape[-1])
        if self.kernel_initializer is not None:
            initializers = {"kernel_initializer": self.kernel_initializer}
        if self.use_norm:
            self.patch_norm = self.make_sublayer(
                keras.layers.LayerNormalization,
                "patch_norm",
                patch_shape,
                epsilon=self.epsilon,
                scale=not self.folded_norm,
                center=not self.folded_norm,
            )
        self.projection = self.make_sublayer(
            keras.layers.Dense, "projection", patch_shape, units=self.dim, **initializers
        )
        if self.use_norm:
            self.norm = self.make_sublayer(
                keras.layers.LayerNormalization, "norm", token_shape, epsilon=self.epsilon
            )
        self.built = True

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # the size may be known only now
        patches = cut_patches(inputs, self.patch_size, self.data_format)
        if self.use_norm:
            tokens = self.norm(self.projection(self.patch_norm(patches)))
        else:
            tokens = self.projection(patches)
        return self.arranged(tokens, inputs) if self.as_map else tokens

    def get_config(self) -> dict:
        initializer = self.kernel_initializer
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "use_norm": self.use_norm,
            "kernel_initializer": initializer and keras.initializers.serialize(initializer),
        }


def cut_patches(images, patch_size: tuple[int, int], data_format: str):
    """Cuts images into patches `(batch, n, pixels)`; pixels are in (row, column, channel) order."""
    if data_format == "channels_first":
        images = ops.transpose(images, (0, 2, 3, 1))
    _, rows, columns, channels = ops.shape(images)
    height, width = patch_size
    rows, columns = rows // height, columns // width
    patches = ops.reshape(images, (-1, rows, height, columns, width, channels))
    patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
    return ops.reshape(patches, (-1, rows * columns, height * width * channels))


def join_patches(patches, grid: tuple[int, int], patch_size: tuple[int, int], data_format: str):
    """The inverse of `cut_patches`, for rows and columns of patches."""
    (rows, columns), (height, width) = grid, patch_size
    channels = patches.shape[-1] // (height * width)
    images = ops.reshape(patches, (-1, rows, columns, height, width, channels))
    images = ops.transpose(images, (0, 1, 3, 2, 4, 5))
    images = ops.reshape(images, (-1, rows * height, columns * width, channels))
    return images if data_format == "channels_last" else ops.transpose(images, (0, 3, 1, 2))
