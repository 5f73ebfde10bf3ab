"""Principal components of the patches' features, as colours."""

import dataclasses

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.extras import needed
from keras_crate.figure import ShownAsFigure, draw_rows, mark_untrained
from keras_crate.interpret.intermediates import patch_features
from keras_crate.models.model_view import ModelView
from keras_crate.models.untrained import is_untrained
from keras_crate.models.view_of import view_of


@names_arguments
@dataclasses.dataclass(frozen=True, repr=False)
class TokenPCA(ShownAsFigure):
    """Result of `token_pca` for n images with `rows` times `columns` patches.

    Attributes:
        rgb: The first three principal components as colours in [0, 1], of
            shape `(n, rows, columns, 3)`; the background is black.
        foreground: Boolean, of shape `(n, rows, columns)`.
        first_component: The first component of all patches, of shape
            `(n, rows, columns)`. Its positive side is the foreground.
        explained_variance_ratio: Share of the variance that each of the three
            components of `rgb` explains.
        untrained: Whether the model's weights are initial values.
    """

    rgb: np.ndarray
    foreground: np.ndarray
    first_component: np.ndarray
    explained_variance_ratio: np.ndarray
    untrained: bool = False

    def plot(self, images=None, most: int | None = 16):
        """Draws the first component and the colours, a row per image.

        Args:
            images: The images, to draw beside them.
            most: Number of images that are drawn, from the first; None for all.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.

        Raises:
            ValueError: If there are not as many results as images.
        """
        limit = max(np.abs(self.first_component).max(), 1e-12)
        columns = {
            "first component": {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit},
            "three as RGB": {},
        }
        pictures = list(zip(self.first_component, self.rgb, strict=True))
        images = None if images is None else images[:most]
        figure = draw_rows(images, pictures[:most], columns)
        if self.untrained:
            mark_untrained(figure)
        return figure


@names_arguments
def token_pca(
    model: keras.Model | ModelView,
    images,
    layer: int = -1,
    what: str = "tokens",
    foreground: bool = True,
    batch_size: int = 32,
) -> TokenPCA:
    """Returns the first three principal components of the patches' features as colours.

    The components are fitted to all images together, so that a colour has the
    same meaning in each. The mean of the first component separates foreground
    from background: the foreground is the side with fewer patches at the
    borders of the images. The three components are then fitted to the
    foreground.

    Args:
        model: As in `intermediates`.
        images: As in `intermediates`. Objects of one kind give the clearest
            colours.
        layer: Number of the block. Negative numbers count from the last block.
        what: `"tokens"` after the block, or `"keys"`, the coordinates in the
            block's subspaces.
        foreground: Whether the colours are fitted to the foreground, and the
            background is black.
        batch_size: Number of images that are computed at a time.

    Returns:
        A `TokenPCA`.

    Raises:
        ValueError: If all images together have fewer than 4 patches, `what` is
            another, or the model cannot take the images.
        ImportError: If scikit-learn is not installed.

    Example:

    ```python
    pictures = keras_crate.interpret.token_pca(model, images).rgb
    ```

    Reference:
        Amir et al., "Deep ViT Features as Dense Visual Descriptors",
        arXiv:2112.05814; Yu et al., arXiv:2308.16271, for CRATE.
    """
    view = view_of(model, images)
    features = patch_features(view, images, layer, what, batch_size)
    found = pca_features(features, foreground)
    return dataclasses.replace(found, untrained=is_untrained(view.model))


@names_arguments
def pca_features(features, foreground: bool = True) -> TokenPCA:
    """Computes the result of `token_pca` for given features.

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
    # If all patches are equal, rounding errors are not foreground.
    in_front = first > 1e-6 * np.abs(vectors).max()
    shown = in_front if foreground and in_front.sum() >= 4 else np.ones(shape, bool)
    rgb, ratio = pca_colours(features, shown)
    return TokenPCA(rgb, in_front, first, ratio)


def pca_colours(features: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first three principal components of the shown patches, and shares of variance.

    They are colours in [0, 1], black where not shown, of shape `(n, rows, columns, 3)`.
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
