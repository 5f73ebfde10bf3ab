"""The patches' features as colours."""

from typing import NamedTuple

import keras
import numpy as np

from keras_crate.extras import needed
from keras_crate.interpret.intermediates import patch_features


class TokenPCA(NamedTuple):
    """What `token_pca` found, of n images in patches of `rows` times `columns`.

    Attributes:
        rgb: The first three principal components as colours in [0, 1], of
            shape `(n, rows, columns, 3)`; black where there is background.
        foreground: Boolean, of shape `(n, rows, columns)`.
        first_component: What the foreground is the positive side of, of shape
            `(n, rows, columns)`.
        explained_variance_ratio: Share of the variance that each of the three
            components of `rgb` explains.
    """

    rgb: np.ndarray
    foreground: np.ndarray
    first_component: np.ndarray
    explained_variance_ratio: np.ndarray


def token_pca(
    model: keras.Model,
    images,
    layer: int = -1,
    what: str = "tokens",
    foreground: bool = True,
    batch_size: int = 32,
) -> TokenPCA:
    """First three principal components of the patches' features, as an RGB picture.

    The components are fitted over all images together, so that a colour means
    the same in each. The first component parts foreground from background at
    its mean; the foreground is the side that holds fewer of the patches at the
    images' borders. The three components are then fitted to the foreground.

    Args:
        model: A model of the package, or any functional model with its blocks'
            layers.
        images: Array of shape `(n, height, width, channels)`, best of objects
            of one kind; a model of the package takes other sizes too: its
            positions are resized.
        layer: Number of the block; negative numbers count from the last.
        what: `"tokens"`, which the block gives out, or `"keys"`, their
            coordinates in its subspaces.
        foreground: Whether the colours are of the foreground alone, and fitted
            to it.
        batch_size: Images at a time.

    Returns:
        A `TokenPCA`.

    Raises:
        ValueError: If all images together have fewer than 4 patches, `what` is
            neither, or the model cannot take the images.
        ImportError: If scikit-learn is not installed.

    Example:

    ```python
    pictures = keras_crate.interpret.token_pca(model, images).rgb
    ```

    Reference:
        Amir et al., "Deep ViT Features as Dense Visual Descriptors",
        arXiv:2112.05814; Yu et al., arXiv:2308.16271, for it on CRATE.
    """
    return pca_features(patch_features(model, images, layer, what, batch_size), foreground)


def pca_features(features, foreground: bool = True) -> TokenPCA:
    """`token_pca` for features of any origin.

    Args:
        features: Array of shape `(n, rows, columns, d)`.
        foreground: As in `token_pca`.

    Returns:
        A `TokenPCA`.

    Raises:
        ValueError: If there are fewer than 4 patches, or 3 features.
        ImportError: If scikit-learn is not installed.

    Example:

    ```python
    (features,) = keras_crate.interpret.intermediates(model, images, [-1], what="map")
    pictures = keras_crate.interpret.pca_features(features).rgb
    ```
    """
    features = np.asarray(features)
    shape, vectors = features.shape[:3], features.reshape(-1, features.shape[-1])
    first = _fitted(vectors, 1).transform(vectors)[:, 0].reshape(shape)
    border = np.ones(shape[1:], bool)
    border[1:-1, 1:-1] = False
    if (first[:, border] > 0).mean() > 0.5:
        first = -first
    # Nothing varies: then nothing is in front.
    in_front = first > 1e-6 * np.abs(vectors).max()
    shown = in_front if foreground and in_front.sum() >= 4 else np.ones(shape, bool)
    rgb, ratio = pca_colours(features, shown)
    return TokenPCA(rgb, in_front, first, ratio)


def pca_colours(features: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first three principal components of features as colours.

    Args:
        features: Array of shape `(n, rows, columns, d)`.
        shown: Boolean `(n, rows, columns)`: which to fit to and to colour.

    Returns:
        Colours in [0, 1], black where not shown, `(n, rows, columns, 3)`; and
        the three shares of variance.
    """
    chosen = features[shown]
    if len(chosen) < 4 or chosen.shape[1] < 3:
        raise ValueError(
            "Three principal components need at least 4 patches of 3 features. Received: "
            f"{len(chosen)} patches of {chosen.shape[1]}. Pass more or larger images."
        )
    fitted = _fitted(chosen, 3)
    components = fitted.transform(chosen)
    low, high = np.percentile(components, [1, 99], axis=0)
    rgb = np.zeros((*shown.shape, 3), "float32")
    rgb[shown] = np.clip((components - low) / np.maximum(high - low, 1e-12), 0, 1)
    return rgb, np.nan_to_num(fitted.explained_variance_ratio_)


def _fitted(vectors: np.ndarray, components: int):
    with needed("scikit-learn", "Principal components need"):
        from sklearn.decomposition import PCA
    return PCA(components, svd_solver="full").fit(np.asarray(vectors, "float64"))
