"""Six photographs of clothes that ship with the package, to look into a model without a network."""

from pathlib import Path

import numpy as np

from keras_crate.checks import names_arguments

# The first test image of each of the first six classes that occur: numbers 0, 1, 2, 4, 6 and 8
# of Fashion-MNIST's test images (Xiao et al., arXiv:1708.07747; MIT licence, Zalando SE).
FILE = Path(__file__).with_name("garments.npz")


@names_arguments
def garments() -> tuple[np.ndarray, np.ndarray]:
    """Returns six photographs of clothes, and their classes.

    They are test images of Fashion-MNIST. No shipped model was trained on them.

    Returns:
        Images, uint8 `(6, 28, 28, 1)` in [0, 255]; and classes, `(6,)`, numbers from 0 to 9
        as in Fashion-MNIST.

    Example:

    ```python
    model = keras_crate.load("crate_fashion_mnist")
    images, labels = keras_crate.data.garments()
    print(keras_crate.decode_predictions(model.predict(images), model, top=1))
    ```

    Source:
        Xiao et al., "Fashion-MNIST", arXiv:1708.07747. MIT licence, Zalando SE.
    """
    with np.load(FILE) as file:
        return file["images"], file["labels"]
