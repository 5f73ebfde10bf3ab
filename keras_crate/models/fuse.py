"""`fuse`: makes a model that computes the same function with fewer multiplications."""

import math

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.keras_internals import parts_of
from keras_crate.layers import ConvolutionalStem, FusedISTA, PatchEmbedding
from keras_crate.layers.folded_norm import FoldedNorm
from keras_crate.models.rebuild import rebuild
from keras_crate.models.settings import Form, channels_axis, rescaling_of
from keras_crate.models.white_box import WhiteBoxModel


@names_arguments
def fuse(model: WhiteBoxModel) -> WhiteBoxModel:
    """Makes a model for inference: the same function with fewer multiplications.

    Linear maps that follow each other become one map, computed in float64:

    - ISTA's products become one Dense layer with ReLU (`layers.FusedISTA`);
    - scale and offset of a normalisation go into the next linear map, which is
      in MSSA, TSSA, CBSA, ISTA, the patch embedding or the head;
    - batch normalisations go into the convolutions of the convolutional stem;
    - the normalisation of pixels goes into the patch embedding of CRATE-alpha
      and CRATE-MAE, in float32. It stays in CRATE, where a normalisation of each
      patch follows, which is not linear.

    Dropout and stochastic depth are removed. Your own operators and
    CRATE-alpha's `OvercompleteISTA` do not change, and neither do the
    normalisations before them. For an image of 224 x 224 pixels, a fused
    CRATE-B makes 5.0 billion multiplications, and the paper's equations 7.8
    billion.

    The fused model has the same layer names. It can be saved, loaded, exported,
    quantised, measured and looked into. It has no dictionaries, so keep the
    original model for training.

    Args:
        model: A model of the package, with or without adapters of LoRA. To
            quantise, fuse first.

    Returns:
        A new model, not compiled. The given model does not change.

    Raises:
        ValueError: If the model is fused already, is quantised, or is not a
            model of the package.

    Example:

    ```python
    model = keras_crate.CRATETiny(input_shape=(32, 32, 3), patch_size=8, classes=10)
    fused = keras_crate.fuse(model)
    fused.predict(images)
    fused.quantize("int8")
    ```
    """
    _check(model)
    training = {"dropout_rate": 0.0, "drop_path_rate": 0.0, "rematerialise": False}
    # Adapters of LoRA are merged below, so the form has no layer settings.
    form = Form(fused=True, evaluation=model.settings.evaluation)
    fused = rebuild(model, form=form, **training)
    affine = None  # scale and offset to fold into the next map
    for target in fused.layers:
        source = model.get_layer(target.name)
        is_norm = isinstance(target, keras.layers.LayerNormalization)
        if is_norm and source.scale and not target.scale:
            affine = _scale_and_offset(source)
        elif isinstance(target, PatchEmbedding):
            _fold_patches(source, target, _of_pixels(model, fused))
        elif isinstance(target, ConvolutionalStem):
            _fold_convolutions(source, target)
        elif affine is not None and target.weights:
            _fold(source, target, *affine)
            affine = None
        else:
            _copy(source, target)
    return fused


def _check(model) -> None:
    if not isinstance(model, WhiteBoxModel):
        raise ValueError(
            "`model` must be a model of this package, such as CRATEBase(). Received: "
            f"{type(model).__name__} {getattr(model, 'name', '')!r}. If it has one inside, pass "
            "`model.get_layer(...)`. A clone by Keras is not a model of the package."
        )
    if model.settings.fused:
        raise ValueError(f"`model` is fused already. Received: {model.name!r}. Use it as it is.")
    quantized = [
        part.path
        for part in parts_of(model, include_self=False)
        if getattr(part, "quantization_mode", None) is not None and part.weights
    ]
    if quantized:
        raise ValueError(
            "`model` must not be quantised. Fuse it first, then quantise the fused model. "
            f"Received: a model with {len(quantized)} quantised layers, such as {quantized[0]}"
        )


def _fold(source, target, scale, offset) -> None:
    """Copies a layer's weights, and multiplies the scale and offset before it into its map."""
    if isinstance(target, FusedISTA):
        d = _array(source.dictionary.kernel)
        step = np.eye(len(d)) + source.step_size * (d - d.T @ d)
        target.kernel.assign(scale[:, None] * step)
        target.bias.assign(offset @ step - source.step_size * source.penalty)
        target.skip.assign(scale)
    elif isinstance(target, FoldedNorm):
        _fold_dense(source.subspaces, target.subspaces, scale, offset)
        target.norm_scale.assign(scale)
        target.norm_offset.assign(offset)
        if target.output_projection is not None:
            _copy(source.output_projection, target.output_projection)
        for name in source.own_weights:
            getattr(target, name).assign(_array(getattr(source, name)))
    else:
        _fold_dense(source, target, scale, offset)


def _fold_dense(source, target, scale, offset) -> None:
    kernel = _array(source.kernel)
    bias = 0.0 if source.bias is None else _array(source.bias)
    target.kernel.assign(scale[:, None] * kernel)
    target.bias.assign(bias + offset @ kernel)


def _fold_patches(source: PatchEmbedding, target: PatchEmbedding, pixels: tuple) -> None:
    if source.use_norm:
        scale, offset = _scale_and_offset(source.patch_norm)
        _copy(source.norm, target.norm)
    else:
        scale, offset = pixels
    _fold_dense(source.projection, target.projection, scale, offset)


def _fold_convolutions(source: ConvolutionalStem, target: ConvolutionalStem) -> None:
    """Folds the batch normalisation after each convolution into it."""
    for i in range(len(source.widths)):
        norm, kernel, folded = (
            getattr(layer, f"{name}_{i}")
            for layer, name in ((source, "norm"), (source, "convolution"), (target, "convolution"))
        )
        scale = _array(norm.gamma) / np.sqrt(_array(norm.moving_variance) + norm.epsilon)
        folded.kernel.assign(scale * _array(kernel.kernel))
        folded.bias.assign(_array(norm.beta) - scale * _array(norm.moving_mean))


def _of_pixels(model: WhiteBoxModel, fused: WhiteBoxModel) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of each number of a patch, if the fused model folds `preprocessing`."""
    s = model.settings
    channels = s.input_shape[channels_axis(s.data_format)]
    scale, offset = np.ones(channels), np.zeros(channels)
    if s.include_preprocessing and "preprocessing" not in [x.name for x in fused.layers]:
        scale, offset = (np.ravel(a) for a in rescaling_of(s))
    pixels = math.prod(s.patch_size)  # numbers are in (row, column, channel) order
    return np.tile(scale, pixels), np.tile(offset, pixels)


def _scale_and_offset(norm: keras.layers.LayerNormalization) -> tuple[np.ndarray, np.ndarray]:
    return _array(norm.gamma), _array(norm.beta)


def _copy(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copies weights as a file stores them: with adapters of LoRA merged."""
    for part, other in zip(parts_of(source), parts_of(target), strict=True):
        if not part.weights:
            continue
        store = {}
        part.save_own_variables(store)
        # Copies: under JAX, training deletes a tensor that two variables share.
        other.load_own_variables({k: np.asarray(_numpy(v)) for k, v in store.items()})


def _array(weight) -> np.ndarray:
    return _numpy(weight).astype("float64")


def _numpy(value) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)
