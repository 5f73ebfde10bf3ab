"""MSSA's attention in the form that is fastest where it runs."""

import math

import keras
from keras import ops


def attention_form(tokens: int | None, dtype: str, training: bool) -> str:
    """Which of `FORMS` computes attention fastest here.

    The one place where this is decided, by what `benchmarks/attention_forms.py`
    measured: PyTorch has a fused kernel on every device, JAX and TensorFlow on
    accelerators; on a CPU theirs is slower than two batched products.

    Args:
        tokens: Their number, or None where it is not known.
        dtype: Of the computation.
        training: Whether gradients will be taken.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return "torch"
    if _accelerator(backend):
        return "kernel"
    # Sums that are not normalised need float32's range. Longer rows do not stay in the caches.
    late = backend == "jax" and dtype == "float32" and tokens is not None and tokens <= 256
    if training:
        return "tied_late" if late else "tied"
    return "late" if late else "plain"


def _accelerator(backend: str) -> bool:
    """Whether JAX or TensorFlow computes on something else than a CPU."""
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
    return False


def subspace_attention(w, form: str):
    """`softmax(W_k W_k^T / sqrt(p)) W_k` of every head.

    Args:
        w: Tokens' coordinates, `(batch, heads, n, p)`: query, key and value in one.
        form: One of `FORMS`.

    Returns:
        Tensor of the same shape.
    """
    return FORMS[form](w)


def attention_scores(w):
    """`softmax(W_k W_k^T / sqrt(p))` of every head, `(batch, heads, n, n)`."""
    return ops.softmax(_similarities(w), axis=-1)


def _similarities(w):
    return ops.matmul(w * ops.cast(1.0 / math.sqrt(w.shape[-1]), w.dtype), _transposed(w))


def _transposed(x):
    return ops.transpose(x, (0, 1, 3, 2))


def _plain(w):
    return ops.matmul(attention_scores(w), w)


def _late(w):
    """Divides the n x p sums by the rows' totals, instead of the n x n scores."""
    exponentials, totals = _exponentials(w)
    return ops.matmul(exponentials, w) / totals


def _exponentials(w):
    scores = _similarities(w)
    exponentials = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return exponentials, ops.sum(exponentials, axis=-1, keepdims=True)


def _kernel(w):
    w = ops.transpose(w, (0, 2, 1, 3))
    return ops.transpose(ops.dot_product_attention(w, w, w), (0, 2, 1, 3))


def _torch(w):
    """The same kernel without the copies that Keras makes of query, key and value."""
    import torch

    return torch.nn.functional.scaled_dot_product_attention(w, w, w)


@ops.custom_gradient
def _tied(w):
    scores = attention_scores(w)
    outputs = ops.matmul(scores, w)
    return outputs, _tied_gradient(w, scores, outputs)


@ops.custom_gradient
def _tied_late(w):
    exponentials, totals = _exponentials(w)
    outputs = ops.matmul(exponentials, w) / totals
    return outputs, _tied_gradient(w, exponentials, outputs, totals)


def _tied_gradient(w, scores, outputs, totals=None):
    """The gradient by `W`, which is query, key and value: two products of n x n instead of three.

    With `P` the scores, `O` the outputs and `G` the gradient by them,
    `dS = P (G W^T - rowsum(G O))` and `dW = (dS + dS^T) W / sqrt(p) + P^T G`.
    """

    def gradient(*upstream_arguments, upstream=None):
        g = upstream_arguments[0] if upstream is None else upstream
        p = scores if totals is None else scores / totals
        ds = p * (ops.matmul(g, _transposed(w)) - ops.sum(g * outputs, axis=-1, keepdims=True))
        scale = ops.cast(1.0 / math.sqrt(w.shape[-1]), w.dtype)
        return ops.matmul((ds + _transposed(ds)) * scale, w) + ops.matmul(_transposed(p), g)

    return gradient


FORMS = {
    "plain": _plain, "late": _late, "kernel": _kernel, "tied": _tied, "tied_late": _tied_late
}  # fmt: skip
if keras.backend.backend() == "torch":
    FORMS["torch"] = _torch
