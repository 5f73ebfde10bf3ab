"""Random crops of images at two sizes, changed as for DINO."""

import math

import keras
from keras import ops

# Of torchvision's 0.4, 0.4, 0.2, 0.1. Keras' saturation is 0.5 for no change.
_JITTER = {"brightness_factor": 0.4, "contrast_factor": 0.4}
_JITTER_RGB = {**_JITTER, "saturation_factor": (0.45, 0.55), "hue_factor": 0.1}


@keras.saving.register_keras_serializable(package="keras_crate")
class MultiCrop(keras.layers.Layer):
    """Cuts two global and several local crops from each image, and changes them at random.

    A crop has a random place, area and aspect ratio (3/4 to 4/3), and is resized
    (bilinear, antialiased). It is flipped with probability 1/2. With `colours`,
    brightness, contrast, saturation and hue change with probability 0.8; a crop
    becomes grey with 0.2, is blurred with 1 and 0.1 (global crops) or 0.5
    (local ones), and the second global crop is solarised with 0.2. The blur is
    of up to 2 pixels of 224, in proportion at other sizes. Images of other than
    three channels keep their hue and saturation.

    It takes images `(n, height, width, channels)` with pixels in [0, 255], and returns the
    global crops `(2 n, ...)` and the local crops `(local_crops * n, ...)`, or None without any.
    All images' first crops come first. The arguments are as in `SimDINO`.

    Reference:
        Caron et al., "Emerging Properties in Self-Supervised Vision
        Transformers", arXiv:2104.14294, for the crops; Grill et al.,
        arXiv:2006.07733, for the changes.
    """

    def __init__(
        self,
        global_size: tuple[int, int],
        local_size: tuple[int, int],
        local_crops: int = 8,
        global_area: tuple[float, float] = (0.4, 1.0),
        local_area: tuple[float, float] = (0.05, 0.4),
        flip: bool = True,
        colours: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.global_size, self.local_size = tuple(global_size), tuple(local_size)
        self.local_crops = local_crops
        self.global_area, self.local_area = tuple(global_area), tuple(local_area)
        self.flip = keras.layers.RandomFlip("horizontal") if flip else None
        self.colours = colours
        self.seed = keras.random.SeedGenerator()

    def build(self, input_shape):
        if self.colours:
            is_rgb = input_shape[-1] == 3
            # In [0, 1], since Keras' saturation clips to the range of values.
            jitter = _JITTER_RGB if is_rgb else _JITTER
            self.jitter = keras.layers.RandomColorJitter(
                value_range=(0, 1), data_format="channels_last", dtype="float32", **jitter
            )
            grey = {"data_format": "channels_last", "dtype": "float32"}
            self.grey = keras.layers.RandomGrayscale(0.2, **grey) if is_rgb else None
        self.built = True

    def call(self, inputs):
        images = ops.cast(inputs, "float32") / 255
        n = ops.shape(images)[0]
        is_second = ops.concatenate([ops.zeros((n,)), ops.ones((n,))])
        crops = self._cut(images, 2, self.global_area, self.global_size)
        large = self._change(crops, blurred=1 - 0.9 * is_second, solarised=0.2 * is_second)
        if not self.local_crops:
            return large, None
        crops = self._cut(images, self.local_crops, self.local_area, self.local_size)
        return large, self._change(crops, blurred=0.5, solarised=0.0)

    def _cut(self, images, count, area, size):
        """Cuts and resizes `count` crops of each image."""
        images = ops.tile(images, (count, 1, 1, 1))
        n, (height, width) = ops.shape(images)[0], images.shape[1:3]
        share, log_ratio, left, top = (
            keras.random.uniform((n,), low, high, seed=self.seed)
            for low, high in (area, (math.log(3 / 4), math.log(4 / 3)), (0, 1), (0, 1))
        )
        ratio = ops.exp(log_ratio)
        across = ops.minimum(ops.sqrt(share * height * width * ratio), width)
        down = ops.minimum(ops.sqrt(share * height * width / ratio), height)
        rows = _sampling(top * (height - down), down, height, size[0])
        columns = _sampling(left * (width - across), across, width, size[1])
        crops = ops.einsum("nih,nhwc->niwc", rows, images)
        return ops.einsum("njw,niwc->nijc", columns, crops)

    def _change(self, crops, blurred, solarised):
        if self.flip:
            crops = self.flip(crops, training=True)
        if self.colours:
            # Of a copy: under PyTorch, RandomBrightness changes its input.
            crops = self._sometimes(0.8, self.jitter(ops.copy(crops), training=True), crops)
            crops = self.grey(crops, training=True) if self.grey else crops
            crops = self._sometimes(blurred, self._blur(crops), crops)
            crops = self._sometimes(solarised, ops.where(crops < 0.5, crops, 1 - crops), crops)
        return 255 * crops

    def _blur(self, crops):
        """Blurs each crop by a Gaussian, whose weights are normalised at the edges too."""
        strongest = 2 * min(self.global_size) / 224
        shape = (ops.shape(crops)[0], 1, 1)
        sigma = keras.random.uniform(shape, 0.05 * strongest, strongest, seed=self.seed)
        for axis, equation in ((1, "nab,nbwc->nawc"), (2, "nab,nhbc->nhac")):
            pixels = ops.arange(crops.shape[axis], dtype="float32")
            weights = ops.exp(-0.5 * ops.square((pixels[:, None] - pixels) / sigma))
            weights = weights / ops.sum(weights, axis=-1, keepdims=True)
            crops = ops.einsum(equation, weights, crops)
        return crops

    def _sometimes(self, probability, changed, crops):
        """Takes each changed crop with a probability, and else the crop as it was."""
        drawn = keras.random.uniform((ops.shape(crops)[0],), seed=self.seed)
        return ops.where((drawn < probability)[:, None, None, None], changed, crops)

    def get_config(self) -> dict:
        names = ("global_size", "local_size", "local_crops", "global_area", "local_area", "colours")
        values = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **values, "flip": self.flip is not None}


def _sampling(start, length, size: int, new_size: int):
    """Matrices `(n, new_size, size)` that resize parts of lines: bilinear, antialiased."""
    scale = ops.expand_dims(length / new_size, (1, 2))  # old pixels in a new one
    centres = (
        ops.expand_dims(start, (1, 2))
        + scale * (ops.arange(new_size, dtype="float32") + 0.5)[:, None]
    )
    distances = ops.abs(centres - (ops.arange(size, dtype="float32") + 0.5)) / ops.maximum(scale, 1)
    weights = ops.maximum(1 - distances, 0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
