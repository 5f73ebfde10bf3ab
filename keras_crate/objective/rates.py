"""The terms of the sparse rate reduction, for NumPy arrays and backend tensors.

Tokens are rows. NumPy arrays are computed by NumPy in float64, and tensors by
`keras.ops` in float32, or in float64 if they are float64.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_crate.checks import check_above_zero, check_choice, check_not_negative, names_arguments

# The default eps of each convention. The paper does not state it; 0.5 is usual for maximal
# coding rate reduction. The authors' code uses 0.01 and does not square it.
DEFAULT_EPS = {"paper": 0.5, "authors": 0.01}


@names_arguments
def coding_rate(tokens, eps: float | None = None):
    """Lossy coding rate of token sets, `R(Z) = 1/2 logdet(I + d/(n eps^2) Z Z^T)`.

    Tokens of full rank have the rate to a relative 1e-6 for entries of Z up to 1e8,
    in float32 too. For tokens of low rank, rounding adds directions that the
    larger entries make seem important. Compared with singular values, on sets of up
    to 197 x 384, the relative error of float32 is at most 2e-4 for entries up to
    100, and 1e-2 up to 1e4. Above, the rate may be wrong by a factor: pass float64,
    whose error is at most 1e-6 up to 1e8.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`, n and d at least 1.
        eps: Precision up to which tokens are coded, > 0. By default 0.5.

    Returns:
        Rates in nats, >= 0, of shape `(...)`. An array for an array, a tensor
        for a tensor. In a tensor, the rates of sets with NaN or infinity are not
        finite.

    Raises:
        ValueError: If `tokens` has another rank or is empty, an array holds NaN
            or infinity, or `eps` is not above 0.

    Example:

    ```python
    rate = keras_crate.objective.coding_rate(keras.random.normal((8, 197, 384)))  # (8,)
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 2.1.
    """
    xp, tokens = prepare(tokens)
    eps = check_eps(eps, "paper")
    n, d = tokens.shape[-2:]
    return _half_logdet(xp, tokens, d / (n * eps**2))


@names_arguments
def subspace_coding_rate(tokens, subspaces, eps: float | None = None, convention: str = "paper"):
    """Coding rate of tokens against subspaces, `R^c(Z | U_1 ... U_K)`.

    With `W_k = Z U_k` of shape `(n, p)`, the sum over k of

    - `"paper"`: `1/2 logdet(I + p/(n eps^2) W_k W_k^T)`, with `U_k`
      orthonormalised. The rate for a basis of zeros is 0;
    - `"authors"` (their measuring code): `1/2 logdet(I + p/(n eps) W_k W_k^T)`,
      with `U_k` as it is and the rows of `W_k` scaled to length 1.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`, n and d at least 1. The
            authors measure the normalised input of a block.
        subspaces: Bases of shape `(K, d, p)`, as `MSSA.subspace_bases()` returns.
        eps: Precision, > 0. By default 0.5 in the paper's convention and 0.01
            in the authors'.
        convention: `"paper"` or `"authors"`.

    Returns:
        Rates in nats, >= 0, of shape `(...)`, as precise as `coding_rate`.

    Raises:
        ValueError: If the shapes do not fit, an array holds NaN or infinity, `eps`
            is not above 0, or the convention does not exist.

    Example:

    ```python
    mssa = model.get_layer("block_0_mssa")
    rate = keras_crate.objective.subspace_coding_rate(tokens, mssa.subspace_bases())
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 2.3, and their published code.
    """
    xp, tokens = prepare(tokens)
    check_choice("convention", convention, DEFAULT_EPS)
    eps = check_eps(eps, convention)
    if xp is np:
        subspaces = np.asarray(ops.convert_to_numpy(subspaces), "float64")
    else:
        subspaces = ops.cast(subspaces, tokens.dtype)
    if len(subspaces.shape) != 3 or subspaces.shape[1] != tokens.shape[-1]:
        raise ValueError(
            "`subspaces` must have shape (K, d, p) for tokens of shape (..., n, d). Received: "
            f"subspaces {tuple(subspaces.shape)}, tokens {tuple(tokens.shape)}"
        )
    n, p = tokens.shape[-2], subspaces.shape[-1]
    if convention == "paper":
        w = _coordinates(xp, tokens, _orthonormal(xp, subspaces))
        scale = p / (n * eps**2)
    else:
        w = _unit_rows(xp, _coordinates(xp, tokens, subspaces))
        scale = p / (n * eps)
    return xp.sum(_half_logdet(xp, w, scale), axis=-1)


@names_arguments
def rate_reduction(tokens, subspaces, eps: float | None = None):
    """Rate reduction, `R(Z) - R^c(Z | U)`, in the paper's convention.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.
        subspaces: Bases of shape `(K, d, p)`.
        eps: Precision, > 0. By default 0.5.

    Returns:
        Differences in nats, of shape `(...)`.
    """
    return coding_rate(tokens, eps) - subspace_coding_rate(tokens, subspaces, eps)


@names_arguments
def sparsity(tokens):
    """Fraction of exact zeros in token sets.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.

    Returns:
        Fractions in [0, 1], of shape `(...)`.
    """
    xp, tokens = prepare(tokens)
    return 1.0 - _count_nonzero(xp, tokens) / (tokens.shape[-2] * tokens.shape[-1])


@names_arguments
def sparse_rate_reduction(tokens, subspaces, eps: float | None = None, penalty: float = 0.1):
    """The objective, `R(Z) - R^c(Z | U) - lambda |Z|_0`, in the paper's convention.

    `|Z|_0` is the number of entries that are not zero. It has no gradient, so
    the gradient of the objective is that of the two rates.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.
        subspaces: Bases of shape `(K, d, p)`.
        eps: Precision, > 0. By default 0.5.
        penalty: lambda, >= 0.

    Returns:
        Values of shape `(...)`.

    Reference:
        Yu et al., arXiv:2306.01129, section 2.1.
    """
    check_not_negative("penalty", penalty)
    xp, prepared = prepare(tokens)
    return rate_reduction(tokens, subspaces, eps) - penalty * _count_nonzero(xp, prepared)


def check_eps(eps, convention: str) -> float:
    """Returns the precision, by default the convention's. Refuses one that is not above 0."""
    return DEFAULT_EPS[convention] if eps is None else check_above_zero("eps", eps)


def prepare(tokens):
    """Returns NumPy or `keras.ops`, and the tokens as its array in float32 or float64."""
    if not hasattr(tokens, "shape"):
        tokens = np.asarray(tokens)
    if len(tokens.shape) < 2 or 0 in tokens.shape[-2:]:
        raise ValueError(
            "`tokens` must have shape (..., n, d) with at least one token. Received: shape "
            f"{tuple(tokens.shape)}"
        )
    if isinstance(tokens, np.ndarray):
        tokens = np.asarray(tokens, "float64")
        _check_finite(tokens)
        return np, tokens
    tokens = ops.convert_to_tensor(tokens)
    is_double = keras.backend.standardize_dtype(tokens.dtype) == "float64"
    return ops, tokens if is_double else ops.cast(tokens, "float32")


def _check_finite(tokens: np.ndarray) -> None:
    finite = np.isfinite(tokens).all(axis=(-2, -1))
    if not finite.all():
        sets = [", ".join(map(str, index)) for index in np.argwhere(~finite)]
        where = f" {len(sets)} of {finite.size} sets, at index {'; '.join(sets[:8])}"
        raise ValueError(
            "`tokens` must be finite. Received: NaN or infinity in"
            f"{where if finite.ndim else ' the set'}{'; ...' if sets[8:] else ''}"
        )


def _coordinates(xp, tokens, subspaces):
    """Returns `Z U_k` for all subspaces, `(..., K, n, p)`, computed as one product."""
    k, d, p = subspaces.shape
    together = xp.reshape(xp.transpose(subspaces, (1, 0, 2)), (d, k * p))
    shape = (-1 if size is None else size for size in tokens.shape[:-1])  # batch size may be None
    # Not `ops.matmul`, which rounds float64 to float32 under PyTorch.
    return xp.swapaxes(xp.reshape(tokens @ together, (*shape, k, p)), -2, -3)


def _half_logdet(xp, z, scale: float):
    """`1/2 logdet(I + scale Z Z^T)`.

    The QR decomposition of `I` stacked on `sqrt(scale) Z` has an `R` with
    `R^T R = I + scale Z^T Z`. The product `Z^T Z` would square rounding errors, and
    is not computed. Diagonal entries of `R` are at least 1 in magnitude,
    so that the logarithm and the gradient are finite.
    """
    if z.shape[-2] < z.shape[-1]:
        z = xp.swapaxes(z, -1, -2)  # the determinant of the smaller matrix is the same
    z = z * math.sqrt(scale)
    # In float64 the product is exact enough here, and Cholesky takes a fifth of the time.
    if xp is np and np.sum(z * z, axis=(-2, -1)).max(initial=0) < 1e8:
        factor = np.linalg.cholesky(np.eye(z.shape[-1]) + np.swapaxes(z, -1, -2) @ z)
    else:
        factor = xp.linalg.qr(_under_identity(xp, z, 1.0))[1]
    diagonal = xp.diagonal(factor, axis1=-2, axis2=-1)
    return xp.sum(xp.log(xp.abs(diagonal)), axis=-1)


def _under_identity(xp, x, factor: float):
    """Stacks `factor` times the identity on matrices `(..., m, p)`: `(..., p + m, p)`."""
    rows, columns = x.shape[-2:]
    padding = [(0, 0)] * (len(x.shape) - 2) + [(columns, 0), (0, 0)]
    return xp.pad(x, padding) + factor * xp.eye(columns + rows, columns, dtype=x.dtype)


def _orthonormal(xp, subspaces):
    """Orthonormal bases of the same subspaces, `(K, d, p)`.

    Columns of zeros, and columns that depend linearly on others, become zeros:
    their part of `Q` is in the rows of the small multiple of the identity.
    """
    columns = subspaces.shape[-1]
    ridge = 1e3 * np.finfo(keras.backend.standardize_dtype(subspaces.dtype)).eps
    scaled = _scaled(xp, subspaces, axis=(-2, -1))
    return xp.linalg.qr(_under_identity(xp, scaled, ridge))[0][:, columns:]


def _unit_rows(xp, w):
    """Scales rows to length 1. Rows of zeros stay zero."""
    w = _scaled(xp, w, axis=-1)
    # The largest entry is 1 now, so that only the sum of a row of zeros is below 1/2.
    return w / xp.sqrt(xp.maximum(xp.sum(w * w, axis=-1, keepdims=True), 0.5))


def _scaled(xp, x, axis):
    """Divides by the largest magnitude, so that squares neither overflow nor vanish."""
    peak = xp.max(xp.abs(x), axis=axis, keepdims=True)
    peak = xp.where(peak > 0, peak, xp.ones_like(peak))
    # The results do not depend on the scale, so the peak needs no gradient.
    return x / (peak if xp is np else ops.stop_gradient(peak))


def _count_nonzero(xp, z):
    return xp.sum(xp.where(z == 0, xp.zeros_like(z), xp.ones_like(z)), axis=(-2, -1))
