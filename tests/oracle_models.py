"""Whole models in NumPy and float64, from their weights and the equations in `oracle.py`."""

import math

import keras
import numpy as np
import oracle

STATISTICS = {3: ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])}


def outputs(model, images, noise=None):
    """Logits or features of a classifier, or the patches that a masked autoencoder predicts.

    Images are pixels in the model's data format. `noise` chooses the patches that are hidden.
    """
    s, layer = model.settings, model.get_layer
    z = np.asarray(images, "float64")
    if s.data_format == "channels_first":
        z = z.transpose(0, 2, 3, 1)
    mean, std = STATISTICS.get(z.shape[-1], (0.5, 0.5)) if s.mean is None else (s.mean, s.std)
    if s.include_preprocessing:
        z = (z / 255 - mean) / std
    z = (_convolutional if hasattr(layer("patch_embedding"), "strides") else _linear)(model, z)
    if noise is not None:
        kept = int(z.shape[1] * (1 - s.mask_ratio))
        hidden = noise.argsort(axis=1).argsort(axis=1) >= kept
        z = np.where(hidden[..., None], _values(layer("patch_masking").mask_token), z)
    z = _with_positions(layer("token_embedding"), z)
    for i in range(s.depth):
        z = _block(model, z, f"block_{i}_")
    if "encoder_norm" in {x.name for x in model.layers}:
        z = _norm(layer("encoder_norm"), z)
    if noise is not None:
        return _decoded(model, z)
    pooled = np.delete(z, range(1, 1 + s.registers), axis=1)
    z = {"token": z[:, 0], "avg": pooled.mean(axis=1), "max": pooled.max(axis=1), None: z}[
        s.pooling
    ]
    if not s.include_top:
        return z
    if "head_norm" in {x.name for x in model.layers}:
        z = _norm(layer("head_norm"), z)
    return _dense(layer("head"), z)


def _values(weight):
    return keras.ops.convert_to_numpy(weight).astype("float64")


def _dense(layer, z):
    z = z @ _values(layer.kernel)
    return z + _values(layer.bias) if layer.use_bias else z


def _norm(layer, z):
    return oracle.layer_norm(z, _values(layer.gamma), _values(layer.beta), layer.epsilon)


def _linear(model, images):
    """Patches in the order of rows, columns and channels, normalised or not, and mapped."""
    stem, (height, width) = model.get_layer("patch_embedding"), model.settings.patch_size
    batch, rows, columns, channels = images.shape
    z = images.reshape(batch, rows // height, height, columns // width, width, channels)
    z = z.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, height * width * channels)
    if not stem.use_norm:
        return _dense(stem.projection, z)
    return _norm(stem.norm, _dense(stem.projection, _norm(stem.patch_norm, z)))


def _convolutional(model, x):
    """Convolutions of 3 x 3, each with batch normalisation, and GELU between them."""
    stem = model.get_layer("patch_embedding")
    for i, (down, right) in enumerate(stem.strides):
        if i:
            x = 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))
        kernel = _values(getattr(stem, f"convolution_{i}").kernel)
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        x = np.einsum("bijcuv,uvco->bijo", windows[:, ::down, ::right], kernel)
        norm = getattr(stem, f"norm_{i}")
        deviation = np.sqrt(_values(norm.moving_variance) + 1e-5)
        x = (x - _values(norm.moving_mean)) / deviation * _values(norm.gamma) + _values(norm.beta)
    return x.reshape(len(x), -1, x.shape[-1])


def _with_positions(embedding, z):
    first, positions = _values(embedding.class_token), _values(embedding.positions)
    parts = [first + positions[:, :1], positions[:, 1:] + z]
    if embedding.registers:
        parts.insert(1, _values(embedding.register_tokens))
    parts = [np.broadcast_to(part, (len(z), *part.shape[1:])) for part in parts]
    return np.concatenate(parts, axis=1)


def _block(model, z, prefix):
    layer = model.get_layer
    compress = next(x for x in model.layers if x.name in (f"{prefix}mssa", f"{prefix}cbsa"))
    z = z + _compressed(compress, _norm(layer(f"{prefix}norm_1"), z))
    normed = _norm(layer(f"{prefix}norm_2"), z)
    sparsify = next(
        x for x in model.layers if x.name in (f"{prefix}ista", f"{prefix}overcomplete_ista")
    )
    steps = (sparsify.step_size, sparsify.penalty)
    d = _values(sparsify.dictionary.kernel)
    if sparsify.name.endswith("overcomplete_ista"):
        d1 = _values(sparsify.output_dictionary.kernel).T
        return z + oracle.overcomplete_ista(normed, d, d1, *steps)[0]
    return oracle.ista(normed, d, *steps)


def _compressed(layer, z):
    u, out = _values(layer.subspaces.kernel), layer.output_projection
    bias = None if out is None or not out.use_bias else _values(out.bias)
    out = None if out is None else _values(out.kernel)
    if layer.name.endswith("cbsa"):
        steps = _values(layer.step_x), _values(layer.step_rep)
        grid, windows = layer._grid(z.shape[1]), layer.representatives
        return oracle.cbsa(z, grid, windows, layer.heads, *steps, u, out, bias)[0]
    return oracle.mssa(z, u, layer.heads, out, bias)


def _decoded(model, z):
    layer = model.get_layer
    for i in range(model.settings.depth):
        prefix = f"decoder_block_{i}_"
        y = _dense(layer(f"{prefix}dictionary"), _norm(layer(f"{prefix}norm_1"), z))
        z = y - _compressed(layer(f"{prefix}mssa"), _norm(layer(f"{prefix}norm_2"), y))
    z = _dense(layer("decoder_prediction"), _norm(layer("decoder_norm"), z))
    return z[:, 1 + model.settings.registers :]
