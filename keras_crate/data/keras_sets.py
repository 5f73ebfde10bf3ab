"""The sets of images of `keras.datasets`."""

import keras
import numpy as np

from keras_crate.backend import keras_home
from keras_crate.data.image_sources import ArraySource, LabelledImages

_GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip
_CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab",
    "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl",
    "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree",
    "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain",
    "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose",
    "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel",
    "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)  # fmt: skip

# The names of the classes, and the files that Keras looks for in its folder of data sets.
KERAS_SETS = {
    "fashion_mnist": (_GARMENTS, "the four files of Fashion-MNIST, in the folder fashion-mnist"),
    "mnist": (tuple("0123456789"), "mnist.npz"),
    "cifar10": (_CIFAR10, "cifar-10-python.tar.gz, as cifar-10-batches-py-target_archive"),
    "cifar100": (_CIFAR100, "cifar-100-python.tar.gz, as cifar-100-python-target_archive"),
}


def load_keras_set(name: str) -> LabelledImages:
    """Loads a set of `keras.datasets`, which downloads it once and keeps it."""
    class_names, files = KERAS_SETS[name]
    try:
        splits = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain Exception if it cannot download
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OSError(
            f"keras.datasets could not load {name}: {reason}\n"
            f"Keras looks in {keras_home() / 'datasets'} for its files.\n"
            f"Without a network, put there: {files}.\n"
            "If they are there, one of them is broken: replace it."
        ) from error
    train, test = (ArraySource(_channels_last(images), labels) for images, labels in splits)
    return LabelledImages(
        name, train, None, class_names, len(class_names), f"keras.datasets.{name}", test
    )


def _channels_last(images: np.ndarray) -> np.ndarray:
    """The images as `(n, height, width, channels)`, whatever Keras' setting."""
    if images.ndim == 3:
        return images[..., np.newaxis]
    if keras.config.image_data_format() == "channels_first":
        return images.transpose(0, 2, 3, 1)
    return images
