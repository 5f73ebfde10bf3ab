"""Images read from files."""

import contextlib
import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_crate.checks import MOST_PIXELS, check_positive, is_image_size, names_arguments
from keras_crate.data.resizing import check_interpolation, check_pixels, check_resize, fit_image
from keras_crate.extras import needed

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names for numbers of channels


class ImageFiles:
    """Batches of images, read from files as they are needed.

    Images are rotated as their EXIF orientation says, then resized and cropped
    with antialiasing. A file that cannot be read, or whose pixels have more
    than 8 bits, is left out and noted in `broken`. So is one of more pixels than
    `PIL.Image.MAX_IMAGE_PIXELS`, 89 million, whose pixels are never decoded.

    Args:
        paths: Image files, and folders, which are searched recursively for
            files with an image's extension. A folder's files are sorted.
        input_shape: Shape of an image, as a model's `input_shape` without the
            batch.
        batch_size: Number of images per batch. The last batch may be smaller.
        data_format: `"channels_last"` or `"channels_first"`.
        resize: One of:

            - None: the centre is cropped to the shape's aspect ratio, then
              resized;
            - an integer: the shorter side is resized to that many pixels, then
              the centre is cropped. Smaller images are padded with black. The
              pixels equal those of torchvision's `Resize(resize)` and
              `CenterCrop`;
            - a pair, equal to the height and width of the shape: the whole
              image is resized, which changes its aspect ratio.
        interpolation: `"bilinear"`, `"bicubic"` or `"area"` (the mean of the
            pixels that each new one covers): Pillow's `BILINEAR`, `BICUBIC`
            and `BOX`.

    Attributes:
        input_shape: The argument.
        files: All files that were found.
        read: The files that the latest iteration has read, in its order.
        broken: The files that were left out, with the reason for each.

    Raises:
        ValueError: If a path does not exist, a folder has no images, or an
            argument is out of range.
        ImportError: If Pillow is not installed.

    Example:

    ```python
    for batch in keras_crate.data.ImageFiles(["photographs"], (224, 224, 3)):
        print(batch.shape)  # (32, 224, 224, 3), pixels in [0, 255]
    ```
    """

    @names_arguments
    def __init__(
        self,
        paths: Sequence[str | os.PathLike],
        input_shape: tuple[int, int, int],
        batch_size: int = 32,
        data_format: str = "channels_last",
        *,
        resize: int | tuple[int, int] | None = None,
        interpolation: str = "bilinear",
    ):
        check_pillow()
        self.files = find_files(paths)
        self.input_shape = tuple(input_shape)
        self.data_format = data_format
        if data_format == "channels_first":
            input_shape = (*input_shape[1:], input_shape[0])
        self.mode = image_mode(input_shape)
        self.size = tuple(input_shape[:2])
        self.batch_size = check_positive("batch_size", batch_size)
        self.resize = check_resize(resize, self.size)
        self.interpolation = check_interpolation(interpolation)
        self.read: list[Path] = []
        self.broken: dict[Path, str] = {}

    def __len__(self) -> int:
        """Number of batches if no file is broken."""
        return -(-len(self.files) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        self.read.clear()
        self.broken.clear()
        batch = []
        for file in self.files:
            try:
                batch.append(self.read_image(file))
            except Exception as error:  # Pillow's decoders raise errors of many kinds
                self.broken[file] = why_broken(error)
                continue
            self.read.append(file)
            if len(batch) == self.batch_size:
                yield self.stacked(batch)
                batch = []
        if batch:
            yield self.stacked(batch)

    def part(self, start: int, stop: int) -> "ImageFiles":
        """Returns the images of `files[start:stop]` only."""
        part = copy.copy(self)
        part.files, part.read, part.broken = self.files[start:stop], [], {}
        return part

    def read_image(self, file) -> np.ndarray:
        """Reads and resizes one image.

        Args:
            file: A path or binary file.

        Returns:
            Float32 array `(height, width, channels)`, with whole numbers in [0, 255].

        Raises:
            Exception: Pillow's decoders raise errors of many kinds.
        """
        image = open_image(file, self.mode)
        return fit_image(image, self.size, self.resize, self.interpolation)

    def stacked(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns images of `read_image` as one batch in the model's data format."""
        batch = np.stack(images)
        return np.moveaxis(batch, -1, 1) if self.data_format == "channels_first" else batch


@contextlib.contextmanager
def opened(file):
    """Yields a Pillow image of a path or binary file, whose pixels are not decoded yet."""
    from PIL import Image

    with Image.open(file) as image:
        check_pixels(image.size)
        yield image


def open_image(file, mode: str):
    """Opens a path or binary file as a Pillow image, and rotates it as its EXIF says."""
    from PIL import ImageOps

    with opened(file) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"its pixels must have 8 bits, but are of mode {image.mode}")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # without a copy, as the next line
        return image if image.mode == mode else image.convert(mode)


def why_broken(error: Exception) -> str:
    """Returns why an image cannot be read, for the user."""
    unknown = type(error).__name__ == "UnidentifiedImageError"
    return "it is not an image" if unknown else str(error) or type(error).__name__


def image_mode(input_shape: tuple[int, int, int]) -> str:
    """Returns Pillow's mode for a shape (height, width, channels), or raises a ValueError."""
    *size, channels = input_shape
    if not is_image_size(*size) or channels not in MODES:
        raise ValueError(
            "Images must have a height and width of 1 or more, at most "
            f"{MOST_PIXELS:,} pixels, and 1, 3 or 4 channels. Received: shape {tuple(input_shape)}"
        )
    return MODES[channels]


def check_pillow() -> None:
    """Raises an ImportError if Pillow is not installed."""
    with needed("pillow", "Images need"):
        import PIL  # noqa: F401


def find_files(paths: Sequence[str | os.PathLike]) -> list[Path]:
    """Returns the image files that the `paths` of `ImageFiles` name."""
    files = []
    for path in map(Path, [paths] if isinstance(paths, (str, os.PathLike)) else paths):
        if not os.path.exists(path):
            raise ValueError(f"There is no file or folder {path}.")
        found = [path]
        if path.is_dir():
            found = [p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file()]
            if not found:
                raise ValueError(
                    f"There are no images in the folder {path}. Images are files that end in "
                    f"{', '.join(EXTENSIONS)}."
                )
        files += sorted(found)
    if not files:
        raise ValueError("`paths` must name at least one file or folder. Received: none")
    return files
