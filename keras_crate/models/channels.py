"""The same model for images with another number of channels."""

import keras
import numpy as np

from keras_crate.checks import check_choice
from keras_crate.keras_internals import parts_of
from keras_crate.layers import ConvolutionalStem
from keras_crate.models.rebuild import carry_weights, rebuild
from keras_crate.models.settings import Settings, channels_axis, rescaling_of

# Layers whose weights belong to the channels of the images.
_LAYERS = ("patch_embedding", "decoder_prediction")


def with_channels(model: keras.Model, input_shape: tuple[int, int, int], how: str) -> keras.Model:
    """Returns a model for images with other channels, with weights made of the model's.

    The new model sees in an image what the old one sees in a mixture of its
    channels, `mixing(old, new, how)`. `WhiteBoxModel.with_input_shape` documents
    the rule. Mean and standard deviation are mixed too.
    """
    check_choice("channels", how, ("average", "repeat"))
    stem = model.get_layer("patch_embedding")
    parts = parts_of(stem, include_self=False)
    quantised = any(getattr(part, "quantization_mode", None) for part in parts)
    if model.settings.fused or quantised:
        raise ValueError(
            "The channels of a fused or quantised model cannot change. Received: a "
            f"{'fused' if model.settings.fused else 'quantised'} model. Change them before."
        )
    old, new = (
        shape[channels_axis(model.settings.data_format)]
        for shape in (model.settings.input_shape, input_shape)
    )
    back = mixing(new, old, how)
    mean, std = _statistics(model.settings, old)
    new_mean, new_std = back @ mean, back @ std
    changes = {"input_shape": input_shape}
    if model.settings.include_preprocessing:
        changes |= {"mean": new_mean, "std": new_std}
    target = rebuild(model, **changes)
    carry_weights(model, target, but=_LAYERS)
    mixture = mixing(old, new, how)
    if isinstance(stem, ConvolutionalStem):
        _convolve(model, target, mixture)
    elif stem.use_norm:
        _embed(model, target, mixture, np.zeros(old))
    else:  # mixed before `mean` and `std`: old channels are `factor` times new ones, plus `shift`
        factor = mixture * new_std / std[:, np.newaxis]
        _embed(model, target, factor, (mixture @ new_mean - mean) / std)
    if hasattr(model.settings, "norm_pix_loss"):
        # Patches that are normalised by themselves have no scale of their own.
        scale = 1 if model.settings.norm_pix_loss else std / new_std[:, np.newaxis]
        _predict(model, target, back * scale)
    return target


def mixing(outputs: int, inputs: int, how: str) -> np.ndarray:
    """The matrix `(outputs, inputs)` that mixes channels; each row sums to 1.

    By `"average"`, every output is the mean of all inputs. By `"repeat"`, output i is
    the mean of the inputs i, i + outputs, i + 2 outputs, ...; if there are fewer
    inputs, it is the input i modulo inputs.
    """
    if how == "average":
        return np.full((outputs, inputs), 1 / inputs)
    i, j = np.ogrid[:outputs, :inputs]
    belongs = (j % outputs == i) if inputs > outputs else (i % inputs == j)
    return belongs / belongs.sum(axis=1, keepdims=True)


def _statistics(settings: Settings, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel for pixels in [0, 1]."""
    if not settings.include_preprocessing:
        return np.zeros(channels), np.ones(channels)
    scale, offset = (np.ravel(values) for values in rescaling_of(settings))
    return -offset / scale / 255, 1 / (255 * scale)


def _embed(model, target, factor: np.ndarray, shift: np.ndarray) -> None:
    """Makes the patch embedding of the target."""
    ours, theirs = (m.get_layer("patch_embedding") for m in (model, target))
    kernel, bias = map(_array, (ours.projection.kernel, ours.projection.bias))
    if ours.use_norm:
        # Scale and offset of the patches' normalisation move into the linear map.
        bias = bias + _array(ours.patch_norm.beta) @ kernel
        kernel = kernel * _array(ours.patch_norm.gamma)[:, np.newaxis]
        theirs.norm.set_weights(ours.norm.get_weights())
    by_channel = kernel.reshape(-1, len(factor), kernel.shape[-1])  # (pixels, channels, dim)
    mixed = np.einsum("cj,pcd->pjd", factor, by_channel)
    theirs.projection.kernel.assign(mixed.reshape(-1, kernel.shape[-1]))
    theirs.projection.bias.assign(bias + np.einsum("c,pcd->d", shift, by_channel))


def _convolve(model, target, mixture: np.ndarray) -> None:
    """Makes the convolutional stem of the target."""
    ours, theirs = (m.get_layer("patch_embedding") for m in (model, target))
    kernel, *others = map(_array, ours.weights)
    # Zeros around the image stay zeros: channels are mixed after `mean` and `std`.
    theirs.set_weights([np.einsum("cj,hwcd->hwjd", mixture, kernel), *others])


def _predict(model, target, factor: np.ndarray) -> None:
    """Makes the decoder's last layer, which predicts the pixels of patches."""
    ours, theirs = (m.get_layer("decoder_prediction") for m in (model, target))
    for variable, new in ((ours.kernel, theirs.kernel), (ours.bias, theirs.bias)):
        values = _array(variable)
        by_channel = values.reshape(*values.shape[:-1], -1, factor.shape[1])
        new.assign(np.einsum("jc,...pc->...pj", factor, by_channel).reshape(new.shape))


def _array(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).astype("float64")
