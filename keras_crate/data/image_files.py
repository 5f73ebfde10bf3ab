"""Images from files, those that are broken set aside."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_crate.extras import needed

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # as Pillow calls them


class ImageFiles:
    """Batches of images read from files as they are needed.

    An image is turned upright as its camera noted, cropped to the shape's
    proportions around its centre and resized (bilinear, antialiased). A file
    that cannot be read, or whose pixels have more than 8 bits, is left out and
    noted in `broken`.

    Args:
        paths: Folders, which are searched through with those in them for
            files that end as images do, and files. In order of their names.
        input_shape: Shape of an image, as a model's `input_shape` without the
            batch.
        batch_size: Images at a time, >= 1.
        data_format: `"channels_last"` or `"channels_first"`.

    Attributes:
        input_shape: As given.
        files: All files that were found.
        read: Those that the latest iteration has read, in its order.
        broken: What was wrong with the others, by file.

    Raises:
        ValueError: If there is no such file, a folder has no images, or images
            have neither 1, 3 nor 4 channels, or no size.
        ImportError: If Pillow is not installed.

    Example:

    ```python
    for batch in keras_crate.data.ImageFiles(["photographs"], (224, 224, 3)):
        print(batch.shape)  # (32, 224, 224, 3), pixels in [0, 255]
    ```
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike],
        input_shape: tuple[int, int, int],
        batch_size: int = 32,
        data_format: str = "channels_last",
    ):
        self.files = _found(paths)
        self.input_shape = tuple(input_shape)
        if data_format == "channels_first":
            input_shape = (*input_shape[1:], input_shape[0])
        *self.size, channels = input_shape
        if channels not in _MODES:
            raise ValueError(
                f"Image files have 1, 3 or 4 channels. Received: input_shape={input_shape}, with "
                f"{channels}"
            )
        if not all(isinstance(side, int) and side >= 1 for side in self.size):
            raise ValueError(
                f"Height and width must be positive integers. Received: input_shape={input_shape}"
            )
        if not batch_size >= 1:
            raise ValueError(f"`batch_size` must be 1 or more. Received: batch_size={batch_size!r}")
        self.mode = _MODES[channels]
        self.batch_size = batch_size
        self.data_format = data_format
        self.read: list[Path] = []
        self.broken: dict[Path, str] = {}

    def __len__(self) -> int:
        """Batches, if no file is broken."""
        return -(-len(self.files) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        with needed("pillow", "Image files need"):
            from PIL import UnidentifiedImageError
        self.read.clear()
        self.broken.clear()
        batch = []
        for file in self.files:
            try:
                batch.append(self._image(file))
            except Exception as error:  # Pillow's decoders raise errors of many kinds
                unread = isinstance(error, UnidentifiedImageError)
                self.broken[file] = "it is no image" if unread else str(error)
                continue
            self.read.append(file)
            if len(batch) == self.batch_size:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)

    def _image(self, file: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(
                    f"its pixels are of mode {image.mode}, and no mode but those of 8 bits is read"
                )
            upright = ImageOps.exif_transpose(image).convert(self.mode)
        fitted = ImageOps.fit(upright, self.size[::-1], method=Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted, "float32").reshape(*self.size, -1)
        return pixels if self.data_format == "channels_last" else np.moveaxis(pixels, -1, 0)


def _found(paths) -> list[Path]:
    files = []
    for path in map(Path, [paths] if isinstance(paths, (str, os.PathLike)) else paths):
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file()
            )
            if not inside:
                raise ValueError(
                    f"There are no images in the folder {path}: no file there ends in one of "
                    f"{', '.join(EXTENSIONS)}."
                )
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"There is no file or folder {path}.")
    if not files:
        raise ValueError("`paths` must name at least one file or folder. Received: none")
    return files
