"""MSSA's attention, in the fastest form for each backend and device."""

import math

import keras
from keras import ops


def attention_form(tokens: int | None, dtype: str, training: bool) -> str:
    """Returns the name of the fastest of `FORMS`.

    `benchmarks/attention_forms.py` measures them. On accelerators, the fused
    kernels are fastest where they have a gradient. On a CPU, the kernels of JAX and
    TensorFlow are slower than two batched products. So is the gradient of PyTorch's
    in half precision.
    """
    backend = keras.backend.backend()
    if _accelerator(backend):
        half = dtype in ("float16", "bfloat16")
        if backend == "jax" and training and half and tokens and tokens % 2:
            return _form_for_an_odd_number_of_tokens()
        return "torch" if backend == "torch" else "kernel"
    if backend == "torch":
        # With 4,097 tokens the products are no faster, and take 20 times the memory.
        few = tokens is not None and tokens < 2048
        return "plain" if few and training and dtype != "float32" else "torch"
    # Sums of exponentials need the range of float32. Longer rows do not fit into caches.
    late = backend == "jax" and dtype == "float32" and tokens is not None and tokens <= 256
    if training:
        return "tied_late" if late else "tied"
    return "late" if late else "plain"


def _accelerator(backend: str) -> bool:
    """Whether the backend computes on another device than a CPU."""
    if backend == "torch":
        import torch

        return torch.cuda.is_available() or torch.backends.mps.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
    return False


def _form_for_an_odd_number_of_tokens() -> str:
    """cuDNN's kernel has no gradient for an odd number of tokens in JAX 0.10 and 0.11.

    `benchmarks/attention_in_training.py` measured `_padded` on one GPU. With a
    `keras.distribution`, no kernel is used. On GPUs before NVIDIA's Ampere, and on
    other devices, Keras does not call cuDNN.
    """
    import jax

    capability = getattr(jax.devices()[0], "compute_capability", "")
    if not capability[:1].isdigit() or float(capability) < 8:
        return "kernel"
    return "padded" if keras.distribution.distribution() is None else "tied"


def subspace_attention(w, form: str):
    """Returns `softmax(W_k W_k^T / sqrt(p)) W_k` for coordinates `(batch, heads, n, p)`."""
    return FORMS[form](w)


def attention_scores(w):
    """Returns `softmax(W_k W_k^T / sqrt(p))` for every head, `(batch, heads, n, n)`."""
    return softmax_of_products(w, w)


def softmax_of_products(a, b):
    """Returns `softmax(a b^T / sqrt(p))`, in float32 if float16 is too short for the products."""
    dtype = keras.backend.standardize_dtype(a.dtype)
    if dtype == "float16":
        a, b = ops.cast(a, "float32"), ops.cast(b, "float32")
    return ops.cast(ops.softmax(_similarities(a, b), axis=-1), dtype)


def _similarities(a, b):
    return ops.matmul(a * ops.cast(1.0 / math.sqrt(a.shape[-1]), a.dtype), transposed(b))


def transposed(x):
    """Swaps the last two of four axes."""
    return ops.transpose(x, (0, 1, 3, 2))


def _plain(w):
    return ops.matmul(attention_scores(w), w)


def _late(w):
    """Divides by the sums of the softmax last: n x p numbers instead of n x n."""
    exponentials, totals = _exponentials(w)
    return ops.matmul(exponentials, w) / totals


def _exponentials(w):
    scores = _similarities(w, w)
    exponentials = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return exponentials, ops.sum(exponentials, axis=-1, keepdims=True)


def _kernel(w):
    w = ops.transpose(w, (0, 2, 1, 3))
    return ops.transpose(ops.dot_product_attention(w, w, w), (0, 2, 1, 3))


def _padded(w, implementation="cudnn"):
    """JAX's kernel with one more token, which it masks."""
    import jax

    batch, _, tokens, _ = w.shape
    padded = jax.numpy.pad(w.swapaxes(1, 2), ((0, 0), (0, 1), (0, 0), (0, 0)))
    lengths = jax.numpy.full((batch,), tokens, "int32")
    try:
        outputs = jax.nn.dot_product_attention(
            padded, padded, padded,
            query_seq_lengths=lengths, key_value_seq_lengths=lengths,
            implementation=implementation,
        )  # fmt: skip
    except (NotImplementedError, RuntimeError):  # no cuDNN, or p is no multiple of 8
        return _tied(w)
    return outputs[:, :tokens].swapaxes(1, 2)


def _torch(w):
    """PyTorch's kernel, called without Keras' copies of query, key and value."""
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
    """Returns the gradient with respect to `W`, with two n x n products instead of three.

    One product is saved because `W` is query, key and value. With the scores `P`, the
    outputs `O` and the gradient `G` with respect to the outputs,
    `dS = P (G W^T - rowsum(G O))` and `dW = (dS + dS^T) W / sqrt(p) + P^T G`.
    """

    def gradient(*upstream_arguments, upstream=None):
        g = upstream_arguments[0] if upstream is None else upstream
        p = scores if totals is None else scores / totals
        ds = p * (ops.matmul(g, transposed(w)) - ops.sum(g * outputs, axis=-1, keepdims=True))
        scale = ops.cast(1.0 / math.sqrt(w.shape[-1]), w.dtype)
        return ops.matmul((ds + transposed(ds)) * scale, w) + ops.matmul(transposed(p), g)

    return gradient


FORMS = {
    "plain": _plain, "late": _late, "kernel": _kernel, "tied": _tied, "tied_late": _tied_late
}  # fmt: skip
if keras.backend.backend() == "torch":
    FORMS["torch"] = _torch
if keras.backend.backend() == "jax":
    FORMS["padded"] = _padded
