"""The terms of the sparse rate reduction, on NumPy arrays or backend tensors.

Tokens are rows. NumPy arrays are computed in float64 by NumPy; backend tensors
by `keras.ops`, in float32 or, where they are float64, in that.
"""

import numpy as np
from keras import ops

CONVENTIONS = ("paper", "authors")
# The precision eps: the paper leaves it open, 0.5 is usual with maximal coding
# rate reduction; 0.01 is in the authors' code, where it is not squared.
DEFAULT_EPS = {"paper": 0.5, "authors": 0.01}


def coding_rate(tokens, eps: float | None = None):
    """Lossy coding rate of token sets, `R(Z) = 1/2 logdet(I + d/(n eps^2) Z Z^T)`.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.
        eps: Precision up to which tokens are coded, > 0; 0.5 by default.

    Returns:
        Rates in nats, of shape `(...)`, of the kind of `tokens`.

    Example:

    ```python
    rate = keras_crate.objective.coding_rate(keras.random.normal((8, 197, 384)))  # (8,)
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 2.1.
    """
    xp, tokens = _prepare(tokens)
    eps = _check_eps(eps, "paper")
    n, d = tokens.shape[-2:]
    return 0.5 * _logdet(xp, tokens, d / (n * eps**2))


def subspace_coding_rate(tokens, subspaces, eps: float | None = None, convention: str = "paper"):
    """Coding rate of tokens against subspaces, `R^c(Z | U_1 ... U_K)`.

    With `W_k = Z U_k` of shape `(n, p)`, the sum over k of

    - `"paper"`: `1/2 logdet(I + p/(n eps^2) W_k W_k^T)`, `U_k` orthonormalised;
    - `"authors"` (their measuring code): `1/2 logdet(I + p/(n eps) W_k W_k^T)`,
      `U_k` as it is, the rows of `W_k` scaled to length 1.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`; for the authors'
            convention a block's normalised input.
        subspaces: Bases of shape `(K, d, p)`, as `MSSA.subspace_bases()` gives.
        eps: Precision, > 0. By default 0.5 in the paper's convention and 0.01
            in the authors'.
        convention: `"paper"` or `"authors"`.

    Returns:
        Rates in nats, of shape `(...)`.

    Example:

    ```python
    mssa = model.get_layer("block_0_mssa")
    rate = keras_crate.objective.subspace_coding_rate(tokens, mssa.subspace_bases())
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 2.3, and their published code.
    """
    xp, tokens = _prepare(tokens)
    if xp is np:
        subspaces = np.asarray(ops.convert_to_numpy(subspaces), "float64")
    else:
        subspaces = ops.cast(subspaces, tokens.dtype)
    eps = _check_eps(eps, convention)
    if len(subspaces.shape) != 3 or subspaces.shape[1] != tokens.shape[-1]:
        raise ValueError(
            "`subspaces` must have shape (K, d, p) for tokens of shape (..., n, d). Received: "
            f"subspaces {tuple(subspaces.shape)}, tokens {tuple(tokens.shape)}"
        )
    n, p = tokens.shape[-2], subspaces.shape[-1]
    if convention == "paper":
        subspaces = _orthonormal(xp, subspaces)
        scale = p / (n * eps**2)
    else:
        scale = p / (n * eps)
    w = _coordinates(xp, tokens, subspaces)
    if convention == "authors":
        squares = xp.sum(w * w, axis=-1, keepdims=True)
        w = w / xp.sqrt(xp.maximum(squares, 1e-24))  # a row of zeros has a gradient too
    return 0.5 * xp.sum(_logdet(xp, w, scale), axis=-1)


def rate_reduction(tokens, subspaces, eps: float | None = None):
    """`R(Z) - R^c(Z | U)` in the paper's convention: what compression gains.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.
        subspaces: Bases of shape `(K, d, p)`.
        eps: Precision, > 0; 0.5 by default.

    Returns:
        Differences in nats, of shape `(...)`.
    """
    return coding_rate(tokens, eps) - subspace_coding_rate(tokens, subspaces, eps)


def sparsity(tokens):
    """Fraction of exact zeros in token sets.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.

    Returns:
        Fractions in [0, 1], of shape `(...)`.
    """
    xp, tokens = _prepare(tokens)
    return 1.0 - _count_nonzero(xp, tokens) / (tokens.shape[-2] * tokens.shape[-1])


def sparse_rate_reduction(tokens, subspaces, eps: float | None = None, penalty: float = 0.1):
    """The objective, `R(Z) - R^c(Z | U) - lambda |Z|_0`, in the paper's convention.

    `|Z|_0` counts non-zero entries, which has no gradient: that of the
    function is the gradient of the two rates.

    Args:
        tokens: Array or tensor of shape `(..., n, d)`.
        subspaces: Bases of shape `(K, d, p)`.
        eps: Precision, > 0; 0.5 by default.
        penalty: lambda, >= 0.

    Returns:
        Values of shape `(...)`.

    Reference:
        Yu et al., arXiv:2306.01129, section 2.1.
    """
    check_not_negative("penalty", penalty)
    xp, prepared = _prepare(tokens)
    return rate_reduction(tokens, subspaces, eps) - penalty * _count_nonzero(xp, prepared)


def _prepare(tokens):
    """The array module, and `tokens` in it, in float32 or better."""
    if not hasattr(tokens, "shape"):
        tokens = np.asarray(tokens)
    if len(tokens.shape) < 2:
        raise ValueError(
            f"`tokens` must have shape (..., n, d). Received: shape {tuple(tokens.shape)}"
        )
    if isinstance(tokens, np.ndarray):
        return np, np.asarray(tokens, "float64")
    tokens = ops.convert_to_tensor(tokens)
    double = str(tokens.dtype).endswith("float64")
    return ops, tokens if double else ops.cast(tokens, "float32")


def _check_eps(eps, convention) -> float:
    if convention not in CONVENTIONS:
        raise ValueError(
            f"`convention` must be one of {CONVENTIONS}. Received: convention={convention!r}"
        )
    check_eps(eps)
    return DEFAULT_EPS[convention] if eps is None else eps


def check_not_negative(name: str, value) -> None:
    """Refuses a factor below 0, or NaN."""
    if not value >= 0:
        raise ValueError(f"`{name}` must be 0 or more. Received: {name}={value!r}")


def check_eps(eps) -> None:
    """Refuses a precision that is not above 0; None stands for the convention's."""
    if eps is not None and not eps > 0:
        raise ValueError(f"`eps` must be above 0. Received: eps={eps!r}")


def _coordinates(xp, tokens, subspaces):
    """`Z U_k` of all subspaces as one product, `(..., K, n, p)`."""
    k, d, p = subspaces.shape
    together = xp.reshape(xp.transpose(subspaces, (1, 0, 2)), (d, k * p))
    # The batch may be unknown.
    shape = (-1 if size is None else size for size in tokens.shape[:-1])
    w = xp.reshape(xp.matmul(tokens, together), (*shape, k, p))
    return xp.swapaxes(w, -2, -3)


def _orthonormal(xp, subspaces):
    """Orthonormal bases of the same subspaces, `(K, d, p)`."""
    if xp is np:
        # Where the bases are far from dependent, Cholesky's factor of their small
        # Gram matrices is exact enough in float64, in a fraction of the time.
        transposed = np.swapaxes(subspaces, -1, -2)
        try:
            factor = np.linalg.cholesky(transposed @ subspaces)
            pivots = np.diagonal(factor, axis1=-2, axis2=-1)
            if (pivots.min(axis=-1) > 1e-3 * pivots.max(axis=-1)).all():
                return np.swapaxes(np.linalg.solve(factor, transposed), -1, -2)
        except np.linalg.LinAlgError:
            pass
    return xp.linalg.qr(subspaces)[0]


def _logdet(xp, z, scale):
    """`logdet(I + scale Z Z^T)`, by Cholesky of the smaller Gram matrix."""
    zt = xp.swapaxes(z, -1, -2)
    gram = xp.matmul(z, zt) if z.shape[-2] <= z.shape[-1] else xp.matmul(zt, z)
    identity = xp.eye(gram.shape[-1], dtype=gram.dtype)
    factor = xp.linalg.cholesky(identity + scale * gram)
    return 2.0 * xp.sum(xp.log(xp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


def _count_nonzero(xp, z):
    nonzero = z != 0
    nonzero = nonzero.astype(z.dtype) if xp is np else ops.cast(nonzero, z.dtype)
    return xp.sum(nonzero, axis=(-2, -1))
