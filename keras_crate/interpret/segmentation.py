"""Finds objects without labels, by normalised cuts of a graph of patches."""

import keras
import numpy as np

from keras_crate.checks import check_positive, names_arguments
from keras_crate.extras import needed
from keras_crate.interpret.intermediates import patch_features
from keras_crate.models.model_view import ModelView


@names_arguments
def segment(
    model: keras.Model | ModelView,
    images,
    layer: int = -1,
    objects: int = 1,
    what: str = "keys",
    threshold: float = 0.2,
    batch_size: int = 32,
) -> np.ndarray:
    """Finds objects in images without labels: MaskCut on a model's patches.

    The patches of an image are the nodes of a graph. Patches with similar
    features have an edge. The normalised cut of the graph separates object from
    background.

    Args:
        model: As in `intermediates`.
        images: As in `intermediates`. Larger images give finer masks.
        layer: Number of the block. Negative numbers count from the last block.
        objects: Largest number of objects to find in an image, >= 1.
        what: Features to compare: `"keys"`, the tokens' coordinates in the
            block's subspaces, as in MaskCut, or `"tokens"` after the block. The
            tokens of a CRATE are non-negative and therefore more similar, so
            that the result depends more on the threshold.
        threshold: Cosine similarity, in (-1, 1), above which two patches have
            an edge.
        batch_size: Number of images that are computed at a time.

    Returns:
        Integer array of shape `(n, rows, columns)`, one value per patch: 0 is
        background, k the k-th object.

    Raises:
        ValueError: If an argument is out of range, the image has fewer than 4
            patches, or the model cannot take the images.
        ImportError: If SciPy is not installed.

    Example:

    ```python
    masks = keras_crate.interpret.segment(model, images) > 0
    ```

    Reference:
        Wang et al., "Cut and Learn for Unsupervised Object Detection and
        Instance Segmentation", arXiv:2301.11320, for MaskCut; Yu et al.,
        "Emergence of Segmentation with Minimalistic White-Box Transformers",
        arXiv:2308.16271, for CRATE.
    """
    _check(objects, threshold)
    features = patch_features(model, images, layer, what, batch_size)
    return segment_features(features, objects, threshold)


@names_arguments
def segment_features(features, objects: int = 1, threshold: float = 0.2) -> np.ndarray:
    """Computes the result of `segment` for given features.

    Args:
        features: Array of shape `(n, rows, columns, d)`.
        objects: As in `segment`.
        threshold: As in `segment`.

    Returns:
        Integer array of shape `(n, rows, columns)`.

    Raises:
        ValueError: If an argument is out of range, a feature is NaN or
            infinite, or there are fewer than 4 patches.
        ImportError: If SciPy is not installed.

    Example:

    ```python
    (features,) = keras_crate.interpret.intermediates(model, images, [-1], what="map")
    labels = keras_crate.interpret.segment_features(features)
    ```
    """
    _check(objects, threshold)
    features = np.asarray(features, "float64")
    if not np.isfinite(features).all():
        raise ValueError("`features` must be finite. Received: NaN or infinite values")
    if features.ndim != 4 or features.shape[1] * features.shape[2] < 4:
        raise ValueError(
            "`features` must have shape (n, rows, columns, d) with at least 4 patches an image. "
            f"Received: shape {features.shape}. Pass larger images."
        )
    labels = np.zeros(features.shape[:3], int)
    for of_image, found in zip(features, labels, strict=True):
        vectors = of_image.reshape(-1, of_image.shape[-1])
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(length, 1e-12)
        similar = vectors @ vectors.T > threshold
        for number in range(1, objects + 1):
            mask = _cut(similar, found > 0)
            if not mask.any():
                break
            found[mask] = number
    return labels


# Weight of the edges between other patches, which keeps the graph connected.
_WEAK = 1e-5


def _cut(similar: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Returns the patches of the next object, if any, beside those that are taken."""
    with needed("scipy", "Segmentation needs"):
        from scipy import linalg, ndimage

    gone = taken.ravel()
    others = similar[~gone][:, ~gone]
    edge = others[~np.eye(len(others), dtype=bool)]
    if edge.all() or not edge.any():  # nothing to separate
        return np.zeros_like(taken)
    edges = np.where(similar & ~gone[:, None] & ~gone[None, :], 1.0, _WEAK)
    degree = np.diag(edges.sum(axis=1))
    _, vector = linalg.eigh(degree - edges, degree, subset_by_index=(1, 1))
    vector = vector[:, 0]
    side = vector > vector.mean()
    # The object is the side with the most extreme entry. A side with three or more corners
    # of the image is the background.
    if not side[np.abs(vector).argmax()]:
        side, vector = ~side, -vector
    if side.reshape(taken.shape)[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= 3:
        side, vector = ~side, -vector
    side &= ~gone
    if not side.any():
        return side.reshape(taken.shape)
    # The object is the connected part of the side with the most extreme entry.
    parts, _ = ndimage.label(side.reshape(taken.shape))
    seed = np.where(side, vector, -np.inf).argmax()
    return parts == parts.flat[seed]


def _check(objects, threshold) -> None:
    check_positive("objects", objects)
    if not -1 < threshold < 1:
        raise ValueError(f"`threshold` must be in (-1, 1). Received: threshold={threshold!r}")
