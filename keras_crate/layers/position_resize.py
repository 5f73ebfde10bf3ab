"""Resizes position embeddings to another grid of patches."""

import numpy as np
from keras import ops

from keras_crate.checks import names_arguments

# Parameter of the cubic kernel in PyTorch's bicubic interpolation.
_A = -0.75


def _cubic_matrix(size: int, new_size):
    """Returns the matrix `(new_size, size)` that interpolates `size` samples on a line.

    The matrix is a float64 array, or a float32 tensor if `new_size` is a tensor. In a
    TensorFlow graph, the size of images may be known only at run time.
    """
    lib, dtype = (np, "float64") if isinstance(new_size, int) else (ops, "float32")
    ratio = lib.divide(size, new_size)
    centres = (lib.arange(new_size, dtype=dtype) + 0.5) * ratio - 0.5  # half-pixel centres
    first = lib.floor(centres)
    matrix = 0.0
    for offset in (-1, 0, 1, 2):
        t = lib.abs(centres - (first + offset))
        inner = ((_A + 2) * t - (_A + 3)) * t * t + 1
        outer = ((_A * t - 5 * _A) * t + 8 * _A) * t - 4 * _A
        weight = lib.where(t <= 1, inner, lib.where(t < 2, outer, 0.0))
        # The outermost sample is repeated beyond the edge.
        sample = lib.clip(first + offset, 0, size - 1)
        taken = sample[:, None] == lib.arange(size, dtype=dtype)
        matrix = matrix + lib.where(taken, weight[:, None], 0.0)
    return matrix


@names_arguments
def resize_positions(table, grid: tuple[int, int], new_grid: tuple[int, int]) -> np.ndarray:
    """Resizes a table of position embeddings to another grid of patches.

    The interpolation is bicubic with half-pixel centres and no antialiasing, as
    `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)`. The
    class token's row does not change.

    Args:
        table: Array of shape `(1, 1 + rows * columns, d)`, class token first.
        grid: Rows and columns of patches in `table`.
        new_grid: Rows and columns of patches in the result.

    Returns:
        Array of shape `(1, 1 + new_rows * new_columns, d)`, in `table`'s dtype.

    Raises:
        ValueError: If the table does not have a row for each patch of `grid`.

    Example:

    ```python
    table = resize_positions(table, (14, 14), (24, 24))  # 224 to 384 pixels
    ```
    """
    table = np.asarray(table)
    if table.ndim != 3 or table.shape[1] != 1 + grid[0] * grid[1]:
        raise ValueError(
            f"`table` must have shape (1, 1 + rows * columns, d) for `grid`. Received: "
            f"shape {table.shape} and grid={tuple(grid)}"
        )
    if tuple(grid) == tuple(new_grid):
        return table
    patches = table[0, 1:].astype("float64").reshape(*grid, -1)
    rows = _cubic_matrix(grid[0], new_grid[0])
    columns = _cubic_matrix(grid[1], new_grid[1])
    patches = np.einsum("ir,jc,rcd->ijd", rows, columns, patches, optimize=True)
    patches = patches.reshape(1, -1, table.shape[-1]).astype(table.dtype)
    return np.concatenate([table[:, :1], patches], axis=1)


def resize_in_graph(positions, grid: tuple[int, int], new_grid):
    """Resizes patches' positions `(1, rows * columns, d)` as `resize_positions`, with gradients.

    The new grid may have tensors.
    """
    rows, columns = (
        ops.cast(_cubic_matrix(*sizes), positions.dtype)
        for sizes in zip(grid, new_grid, strict=True)
    )
    table = ops.reshape(positions, (*grid, positions.shape[-1]))
    table = ops.einsum("ir,jc,rcd->ijd", rows, columns, table)
    return ops.reshape(table, (1, -1, positions.shape[-1]))
