"""Images from files, those that are broken set aside."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_crate.extras import needed

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
INTERPOLATIONS = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "area": "BOX"}  # as Pillow does
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # as Pillow calls them


class ImageFiles:
    """Batches of images read from files as they are needed.

    An image is turned upright as its camera noted, and cropped to the shape's
    proportions around its centre and resized, or resized and cropped as
    `resize` says; antialiased in any case. A file that cannot be read, or whose
    pixels have more than 8 bits, is left out and noted in `broken`.

    Args:
        paths: Folders, which are searched through with those in them for
            files that end as images do, and files. In order of their names.
        input_shape: Shape of an image, as a model's `input_shape` without the
            batch.
        batch_size: Images at a time, >= 1.
        data_format: `"channels_last"` or `"channels_first"`.
        resize: None crops to the shape's proportions and resizes what is left.
            An integer is what the shorter side is brought to, before the
            shape's height and width are cut from the centre: what torchvision's
            `Resize(resize)` and `CenterCrop` do, to the pixel. Where that
            leaves less than the shape, it is put in the middle of black, as
            there. A pair (height, width), which is the shape's own, resizes the
            whole image to it and changes its proportions.
        interpolation: `"bilinear"`, `"bicubic"` or `"area"`, the mean of the
            pixels that each new one covers: Pillow's `BILINEAR`, `BICUBIC` and
            `BOX`.

    Attributes:
        input_shape: As given.
        files: All files that were found.
        read: Those that the latest iteration has read, in its order.
        broken: What was wrong with the others, by file.

    Raises:
        ValueError: If there is no such file, a folder has no images, images
            have neither 1, 3 nor 4 channels, or no size, or there is no such
            resizing.
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
        *,
        resize: int | tuple[int, int] | None = None,
        interpolation: str = "bilinear",
    ):
        self.files = find_files(paths)
        self.input_shape = tuple(input_shape)
        if data_format == "channels_first":
            input_shape = (*input_shape[1:], input_shape[0])
        *self.size, channels = input_shape
        if channels not in MODES:
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
        self.resize = check_resize(resize, self.size)
        self.interpolation = check_interpolation(interpolation)
        self.mode = MODES[channels]
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
        pixels = fit_image(open_image(file, self.mode), self.size, self.resize, self.interpolation)
        return pixels if self.data_format == "channels_last" else np.moveaxis(pixels, -1, 0)


def fit_image(image, size: Sequence[int], resize, interpolation: str) -> np.ndarray:
    """An image's pixels as a model takes them.

    Args:
        image: A Pillow image.
        size: Height and width of the model's images.
        resize, interpolation: As in `ImageFiles`.

    Returns:
        Float32 array `(height, width, channels)`, in [0, 255].
    """
    from PIL import Image, ImageOps

    method = Image.Resampling[INTERPOLATIONS[interpolation]]
    width_and_height = (size[1], size[0])
    if resize is None:
        fitted = ImageOps.fit(image, width_and_height, method=method)
    elif isinstance(resize, tuple):
        fitted = image.resize(width_and_height, method)
    else:
        fitted = _centre(image.resize(_scaled(image.size, resize), method), *width_and_height)
    return np.asarray(fitted, "float32").reshape(*size, -1)


def open_image(file, mode: str):
    """An image as Pillow has it, turned upright.

    Args:
        file: Its path, or an open binary file.
        mode: `"L"`, `"RGB"` or `"RGBA"`.

    Raises:
        ValueError: If its pixels have more than 8 bits; Pillow raises others.
    """
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(
                f"its pixels are of mode {image.mode}, and no mode but those of 8 bits is read"
            )
        return ImageOps.exif_transpose(image).convert(mode)


def check_resize(resize, size: Sequence[int]) -> int | tuple[int, int] | None:
    """The `resize` of `ImageFiles` in its normal form; refuses what is none for this size.

    Args:
        resize: What was given.
        size: Height and width of the images that are to come out.
    """
    if resize is None:
        return None
    if _is_side(resize):
        return int(resize)
    if not isinstance(resize, (tuple, list)) or len(resize) != 2 or not all(map(_is_side, resize)):
        raise ValueError(
            "`resize` must be None, a positive integer, to which the shorter side is brought "
            "before the centre is cut out, or a pair (height, width) of them. "
            f"Received: resize={resize!r}"
        )
    if tuple(resize) != tuple(size):
        raise ValueError(
            "A pair as `resize` must be the height and width of the images that come out, "
            f"{tuple(size)}. Received: resize={resize!r}. To crop after resizing, give the pixels "
            "of the shorter side instead."
        )
    return int(resize[0]), int(resize[1])


def check_interpolation(interpolation) -> str:
    """The `interpolation` of `ImageFiles`; refuses one that there is not."""
    if not isinstance(interpolation, str) or interpolation not in INTERPOLATIONS:
        known = ", ".join(f'"{name}"' for name in INTERPOLATIONS)
        raise ValueError(
            f"`interpolation` must be one of {known}. Received: interpolation={interpolation!r}"
        )
    return interpolation


def _is_side(value) -> bool:
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and value >= 1


def _scaled(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Width and height once the shorter of them is `shorter`."""
    width, height = size
    if width <= height:
        return shorter, int(shorter * height / width)  # torchvision rounds down
    return int(shorter * width / height), shorter


def _centre(image, width: int, height: int):
    """The middle of an image, on black where the image is smaller."""
    # Where a pixel cannot be halved, torchvision rounds to even in cutting, and puts one more
    # pixel of black to the right and below.
    left, top = (
        round((there - wanted) / 2) if there >= wanted else -((wanted - there) // 2)
        for there, wanted in zip(image.size, (width, height), strict=True)
    )
    return image.crop((left, top, left + width, top + height))


def find_files(paths: Sequence[str | os.PathLike]) -> list[Path]:
    """The files named, and those in the folders named that end as images do.

    Args:
        paths: As `ImageFiles` takes them.

    Raises:
        ValueError: If there is no such file, or a folder has no images.
    """
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
