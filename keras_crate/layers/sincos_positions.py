"""A fixed table of positions: sines and cosines of the patches' columns and rows."""

import numpy as np

from keras_crate.checks import names_arguments


@names_arguments
def sincos_positions(grid: tuple[int, int], dim: int) -> np.ndarray:
    """Returns sine-cosine positions of a grid of patches, with zeros for the class token.

    With `w_j = 10000^(-j / (d/4))` for `j = 0 ... d/4 - 1`, a patch in row `r`
    and column `c` has the four parts `sin(c w)`, `cos(c w)`, `sin(r w)`,
    `cos(r w)`, in this order.

    Args:
        grid: Rows and columns of patches.
        dim: Token width d. Must be divisible by 4.

    Returns:
        Float32 array of shape `(1, rows * columns + 1, dim)`.

    Raises:
        ValueError: If the width is not divisible by 4.

    Example:

    ```python
    table = keras_crate.layers.sincos_positions((14, 14), 768)  # (1, 197, 768)
    ```

    Reference:
        Chen et al., "An Empirical Study of Training Self-Supervised Vision
        Transformers", arXiv:2104.02057; used by masked autoencoders.
    """
    if dim % 4:
        raise ValueError(
            f"`dim` must be divisible by 4 for sine-cosine positions. Received: dim={dim}"
        )
    rows, columns = np.meshgrid(*map(np.arange, grid), indexing="ij")
    frequencies = 10000.0 ** (-np.arange(dim // 4) / (dim / 4))
    parts = []
    for index in (columns, rows):
        angles = index.reshape(-1, 1) * frequencies
        parts += [np.sin(angles), np.cos(angles)]
    table = np.concatenate(parts, axis=1)
    return np.concatenate([np.zeros((1, dim)), table])[None].astype("float32")
