"""ConvolutionalStem: turns images into tokens by convolutions."""

import math

import keras
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.layers.initializers import linear_initializers
from keras_crate.layers.stem import Stem


@keras.saving.register_keras_serializable(package="keras_crate")
class ConvolutionalStem(Stem):
    """Maps images to tokens by convolutions that each halve height and width.

    A patch of side `2^k` takes k convolutions of 3x3 pixels with stride 2 and
    zeros around the image. Their widths are `dim / 2^(k-1)`, ..., `dim / 2`,
    `dim`. Each is followed by batch normalisation (epsilon 1e-5), and GELU is
    between them. A token sees more pixels than its patch.

    Args:
        dim: Token width d, divisible by `2^(k-1)`.
        patch_size: Side of a patch in pixels, a power of 2 from 2, or a pair
            (height, width) of them. In a pair, the shorter side is halved in the
            first convolutions only.
        folded_norm: Whether the convolutions hold the batch normalisations, as
            in the models of `keras_crate.fuse`.
        data_format: `"channels_last"` or `"channels_first"`. By default
            `keras.config.image_data_format()`.
        as_map: Whether the tokens are returned as a map, for images of any size.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Images of shape `(batch, height, width, channels)`, or
            `(batch, channels, height, width)` with channels first. Height and
            width must be divisible by the patch's.
        training: Whether batches are normalised by their own statistics, and the
            running statistics updated with momentum 0.9 (0.1 in PyTorch's
            sense). Otherwise, the running statistics normalise.

    Returns:
        Tokens of shape `(batch, n, dim)`, row by row over the grid of patches. With
        `as_map`, of shape `(batch, rows, columns, dim)`.

    Weights: for each convolution i, `convolution_i/kernel` of shape
    `(3, 3, inputs, outputs)`, and `gamma`, `beta`, `moving_mean` and
    `moving_variance` of `norm_i`. With `folded_norm`, `convolution_i/bias`
    instead of `norm_i`.

    Raises:
        ValueError: If a side of the patch is not a power of 2 from 2, or does not
            divide the image, or `dim` is not divisible.

    Example:

    ```python
    images = keras.random.uniform((2, 224, 224, 3))
    tokens = keras_crate.layers.ConvolutionalStem(384, 16)(images)  # (2, 196, 384)
    ```

    Reference:
        The stem of CBT: Wen and Li, arXiv:2509.16875, the authors' code.
    """

    @names_arguments
    def __init__(
        self,
        dim: int,
        patch_size: int | tuple[int, int],
        folded_norm: bool = False,
        data_format: str | None = None,
        as_map: bool = False,
        **kwargs,
    ):
        super().__init__(dim, patch_size, folded_norm, data_format, as_map, **kwargs)
        halvings = [side.bit_length() - 1 for side in self.patch_size]
        if any(side != 2**k or k < 1 for side, k in zip(self.patch_size, halvings, strict=True)):
            raise ValueError(
                "The sides of a convolutional stem's patch must be powers of 2, from 2. "
                f"Received: patch_size={patch_size!r}"
            )
        count = max(halvings)
        if dim % 2 ** (count - 1):
            raise ValueError(
                f"`dim` must be divisible by {2 ** (count - 1)}: the {count} convolutions of "
                f"patch_size={patch_size!r} each double the width. Received: dim={dim}"
            )
        self.strides = [tuple(2 if i < k else 1 for k in halvings) for i in range(count)]
        self.widths = [dim // 2 ** (count - 1 - i) for i in range(count)]

    def build(self, input_shape):
        self.compute_output_shape(input_shape)  # refuses images that patches do not tile
        channels = self.channels(input_shape)
        for i, (width, strides) in enumerate(zip(self.widths, self.strides, strict=True)):
            convolution = self.make_sublayer(
                keras.layers.Conv2D,
                f"convolution_{i}",
                (None, None, None, channels),
                filters=width,
                kernel_size=3,
                strides=strides,
                use_bias=self.folded_norm,
                data_format="channels_last",
                **linear_initializers(9 * channels),
            )
            setattr(self, f"convolution_{i}", convolution)
            if not self.folded_norm:
                norm = self.make_sublayer(
                    keras.layers.BatchNormalization,
                    f"norm_{i}",
                    (None, None, None, width),
                    momentum=0.9,
                    epsilon=1e-5,
                )
                setattr(self, f"norm_{i}", norm)
            channels = width
        self.built = True

    def call(self, inputs, training=None):
        self.compute_output_shape(inputs.shape)  # the size may be known only now
        x = inputs
        if self.data_format == "channels_first":
            x = ops.transpose(x, (0, 2, 3, 1))
        for i in range(len(self.widths)):
            if i:
                x = _gelu(x)
            # Keras' padding "same" puts the zeros of even sides after the image only.
            x = getattr(self, f"convolution_{i}")(ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
            if not self.folded_norm:
                x = getattr(self, f"norm_{i}")(x, training=training)
        return self.arranged(x, inputs)


def _gelu(x):
    if keras.backend.backend() == "tensorflow":
        # `ops.gelu` is by the complementary error function here, which ONNX does not have.
        return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))
    return ops.gelu(x, approximate=False)
