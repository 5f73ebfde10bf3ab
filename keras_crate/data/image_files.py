"""Images from files, those that are broken set aside."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_COLOUR_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}


class ImageFiles:
    """Batches of images read from files as they are needed.

    An image is cropped to the shape's proportions around its centre and then
    resized (bilinear, antialiased). A file that cannot be read is left out and
    noted in `broken`.

    Args:
        paths: Folders, which are searched through with those in them for
            files that end as images do, and files. In order of their names.
        input_shape: Shape of an image, as a model's `input_shape` without the
            batch.
        batch_size: Images at a time, >= 1.
        data_format: `"channels_last"` or `"channels_first"`.

    Attributes:
        files: All files that were found.
        read: Those that the latest iteration has read, in its order.
        broken: What was wrong with the others, by file.

    Raises:
        ValueError: If there is no such file, a folder has no images, or images
            have neither 1, 3 nor 4 channels.

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
        if data_format == "channels_first":
            input_shape = (*input_shape[1:], input_shape[0])
        *self.size, channels = input_shape
        if channels not in _COLOUR_MODES:
            raise ValueError(
                f"Image files have 1, 3 or 4 channels. Received: input_shape={input_shape}, with "
                f"{channels}"
            )
        if not batch_size >= 1:
            raise ValueError(f"`batch_size` must be 1 or more. Received: batch_size={batch_size!r}")
        self.colour_mode = _COLOUR_MODES[channels]
        self.batch_size = batch_size
        self.data_format = data_format
        self.read: list[Path] = []
        self.broken: dict[Path, str] = {}

    def __len__(self) -> int:
        """Batches, if no file is broken."""
        return -(-len(self.files) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        self.read.clear()
        self.broken.clear()
        batch = []
        for file in self.files:
            try:
                batch.append(self._image(file))
            except ImportError:  # of Pillow: no fault of the file
                raise
            except Exception as error:  # Pillow's decoders raise errors of many kinds
                reason = str(error).replace(str(file), "").replace(repr(str(file)), "")
                self.broken[file] = f"{type(error).__name__}: {reason}"
                continue
            self.read.append(file)
            if len(batch) == self.batch_size:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)

    def _image(self, file: Path) -> np.ndarray:
        image = keras.utils.load_img(
            file,
            color_mode=self.colour_mode,
            target_size=tuple(self.size),
            interpolation="bilinear",
            keep_aspect_ratio=True,
        )
        return keras.utils.img_to_array(image, data_format=self.data_format, dtype="float32")


def _found(paths) -> list[Path]:
    files = []
    for path in map(Path, [paths] if isinstance(paths, (str, os.PathLike)) else paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS)
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
