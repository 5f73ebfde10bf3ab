"""CRATE's operators in NumPy and float64, from the equations alone.

An independent judge: it shares no code with the package. Tokens are rows,
`z` is (..., n, d).
"""

import math

import numpy as np


def layer_norm(z, gamma=1.0, beta=0.0, epsilon=1e-5):
    z = np.asarray(z, "float64")
    mean = z.mean(axis=-1, keepdims=True)
    variance = ((z - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (z - mean) / np.sqrt(variance + epsilon) + beta


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def mssa_scores(z, u, heads):
    """softmax(W_k W_k^T / sqrt(p)) of each head: (..., heads, n, n)."""
    p = u.shape[1] // heads
    scores = []
    for k in range(heads):
        w = z @ u[:, k * p : (k + 1) * p]
        scores.append(softmax(w @ np.swapaxes(w, -1, -2) / np.sqrt(p)))
    return np.stack(scores, axis=-3)


def mssa(z, u, heads, out=None, bias=None):
    """Heads one by one, concatenated, and mapped by `out` and `bias`."""
    z, u = np.asarray(z, "float64"), np.asarray(u, "float64")
    p = u.shape[1] // heads
    scores = mssa_scores(z, u, heads)
    parts = [scores[..., k, :, :] @ (z @ u[:, k * p : (k + 1) * p]) for k in range(heads)]
    y = np.concatenate(parts, axis=-1)
    if out is not None:
        y = y @ np.asarray(out, "float64")
    return y if bias is None else y + bias


def ista(z, d, step_size=0.1, penalty=0.1):
    """Three products, as written: relu(z + eta (z D - z D^T D) - eta lambda)."""
    z, d = np.asarray(z, "float64"), np.asarray(d, "float64")
    return np.maximum(z + step_size * (z @ d - (z @ d.T) @ d) - step_size * penalty, 0.0)


def ista_gradients(z, d, g, step_size=0.1, penalty=0.1):
    """By `z` and `d`, of the sum of ISTA times `g`: back through each of the three products."""
    z, d, g = (np.asarray(a, "float64") for a in (z, d, g))
    u = step_size * g * (ista(z, d, step_size, penalty) > 0)
    by_rows = -u @ d.T  # by z D^T
    by_z = u / step_size + u @ d.T + by_rows @ d
    by_d = z.T @ u - (z @ d.T).T @ u + by_rows.T @ z
    return by_z, by_d


def block(z, norm_1, u, heads, out, bias, norm_2, d, step_size=0.1, penalty=0.1):
    """Z <- Z + MSSA(LN(Z)); Z <- ISTA(LN(Z))."""
    half = z + mssa(layer_norm(z, *norm_1), u, heads, out, bias)
    return ista(layer_norm(half, *norm_2), d, step_size, penalty)


def tokens(images, patch, state):
    """The authors' embedding of NHWC images, from their state dict."""
    batch, height, width, channels = images.shape
    rows, columns = height // patch, width // patch
    z = np.asarray(images, "float64").reshape(batch, rows, patch, columns, patch, channels)
    z = z.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)
    affine = [(state[f"to_patch_embedding.{i}.weight"], state[f"to_patch_embedding.{i}.bias"])
              for i in (1, 2, 3)]  # fmt: skip
    z = layer_norm(z, *affine[0]) @ affine[1][0].T.astype("float64") + affine[1][1]
    z = layer_norm(z, *affine[2])
    class_token = np.broadcast_to(state["cls_token"], (batch, 1, z.shape[-1]))
    return np.concatenate([class_token, z], axis=1) + state["pos_embedding"]


def coding_rate(z, eps):
    """1/2 logdet(I + d/(n eps^2) Z Z^T) by eigenvalues."""
    n, d = z.shape[-2:]
    gram = np.asarray(z, "float64") @ np.swapaxes(np.asarray(z, "float64"), -1, -2)
    values = np.linalg.eigvalsh(np.eye(n) + d / (n * eps**2) * gram)
    return 0.5 * np.log(values).sum(axis=-1)


def overcomplete_ista(x, d, d1, step_size=0.1, penalty=0.1):
    """Output and codes of two shrinkage steps from zero, token by token."""
    x, d, d1 = (np.asarray(a, "float64") for a in (x, d, d1))
    z1 = np.maximum(step_size * (x @ d - penalty), 0)
    z2 = np.maximum(z1 + step_size * (x @ d - (z1 @ d.T) @ d - penalty), 0)
    return z2 @ d1.T, z2


def tssa(z, u, heads, temperature, out, bias, u_bias=0.0):
    """Outputs and memberships, head by head."""
    w = np.asarray(z, "float64") @ np.asarray(u, "float64") + u_bias
    p = u.shape[1] // heads
    parts = [w[..., k * p : (k + 1) * p] for k in range(heads)]
    logits = []
    for part, t in zip(parts, np.asarray(temperature, "float64").ravel(), strict=True):
        lengths = np.linalg.norm(part, axis=-2, keepdims=True)
        logits.append(t * ((part / np.maximum(lengths, 1e-12)) ** 2).sum(axis=-1))
    pi = np.moveaxis(softmax(np.stack(logits, axis=-1)), -1, -2)
    outputs = []
    for k, part in enumerate(parts):
        weight = pi[..., k, :, None]
        moments = (weight * part**2).sum(axis=-2, keepdims=True)
        moments = moments / (weight.sum(axis=-2, keepdims=True) + 1e-8)
        outputs.append(-weight * part / (1 + moments))
    return np.concatenate(outputs, axis=-1) @ np.asarray(out, "float64") + bias, pi


def cbsa(z, grid, representatives, heads, step_x, step_rep, u, out, bias):
    """Outputs, and the attention `A` of the representatives, window by window, head by head."""
    w = np.asarray(z, "float64") @ np.asarray(u, "float64")
    p = u.shape[1] // heads
    outputs, attention = [], []
    for k in range(heads):
        part = w[..., k * p : (k + 1) * p]
        on_grid = part[..., :-1, :].reshape(*part.shape[:-2], *grid, p)
        means = []
        for i in range(representatives[0]):
            for j in range(representatives[1]):
                rows, columns = (
                    slice(math.floor(a * size / count), math.ceil((a + 1) * size / count))
                    for a, size, count in zip((i, j), grid, representatives, strict=True)
                )
                means.append(on_grid[..., rows, columns, :].mean(axis=(-3, -2)))
        r = np.stack(means, axis=-2)
        a = softmax(r @ np.swapaxes(part, -1, -2) / np.sqrt(p))
        r = r + step_rep[k].item() * a @ part
        x = softmax(r @ np.swapaxes(r, -1, -2) / np.sqrt(p)) @ r
        outputs.append(step_x[k].item() * np.swapaxes(a, -1, -2) @ x)
        attention.append(a)
    return np.concatenate(outputs, axis=-1) @ out + bias, np.stack(attention, axis=-3)
