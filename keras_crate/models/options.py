"""What the arguments that several constructors share mean, each told once."""

import textwrap

OPTIONS = {
    "weights": """\
None for initial values; the name of published weights, which says the data
they were trained on, such as `"imagenet"` (`keras_crate.hub.list_weights()`
lists them); `"hf://user/repository"` or `"hf://user/repository@revision"`; or
the path of a file written by `model.save` (`.keras`) or `model.save_weights`
(`.weights.h5`), or of the authors' checkpoint. Positions for another grid are
resized. A head of other classes stays at its initial values, with a warning.""",
    "include_top": """\
Whether the head (normalisation and linear classifier) is included.""",
    "input_shape": """\
Image shape without the batch, `(height, width, channels)`, or channels first
where the data format says so. Height and width must be divisible by the
patch's.""",
    "patch_size": """\
Side of a patch in pixels, or a pair (height, width).""",
    "classes": """\
Number of classes, where `include_top`.""",
    "pooling": """\
`"token"` (class token), `"avg"` (mean of all tokens, class token included), or
None for all tokens, with `include_top=False`.""",
    "classifier_activation": """\
Activation of the head, `"softmax"` by default; None for logits.""",
    "include_preprocessing": """\
Whether the model takes pixels in [0, 255] and normalises them itself;
otherwise it takes normalised images.""",
    "mean": """\
Mean of each channel for pixels in [0, 1]. By default ImageNet's for 3
channels; other images are rescaled to [-1, 1].""",
    "std": """\
Standard deviation of each channel, given with `mean`.""",
    "dropout_rate": """\
In [0, 1); on embedded tokens, attention weights and the output of the
compression step.""",
    "drop_path_rate": """\
In [0, 1); probability with which the last block leaves out a step that it
would add, image by image, in training (stochastic depth); it grows linearly
from 0 in the first block.""",
    "layer_scale": """\
Initial value of a learned factor a channel on every step that a block adds,
such as 1e-5; None for no factors.""",
    "rematerialise": """\
Whether each block's operators, those of the package and each `CompositeLayer`,
are computed again for the gradient, instead of kept: less memory in training,
more time. Not with `dropout_rate`. XLA on CPUs (JAX) undoes it.""",
    "class_names": """\
One name a class, for `decode_predictions`; `"imagenet"` stands for
ImageNet-1K's.""",
    "fused": """\
Whether the model has the form that `keras_crate.fuse` gives it. Not meant to be
passed by hand.""",
    "data_format": """\
`"channels_last"` or `"channels_first"`; by default
`keras.config.image_data_format()`.""",
    "dtype": """\
Dtype or policy of the layers, such as `"mixed_bfloat16"`; by default
`keras.config.dtype_policy()`.""",
    "name": """\
Name of the model.""",
    "layer_settings": """\
What freezing, quantisation and LoRA changed, as `get_config` wrote it. Not
meant to be passed by hand.""",
    "dim": """\
Token width d. Must be divisible by `heads`.""",
    "depth": """\
Number of blocks.""",
    "heads": """\
Number of subspaces in each block.""",
    "step_size": """\
eta of the sparse coding step, > 0.""",
    "penalty": """\
lambda of the sparse coding step, >= 0.""",
}


def document(names, indent: int, besides: str = "") -> str:
    """The entries of a docstring's `Args:` for some arguments.

    Args:
        names: The arguments, in their order; those without a text here are
            passed over.
        indent: Spaces before each name.
        besides: A docstring; what it documents itself is passed over too.
    """
    own = [name for name in names if f"\n{' ' * indent}{name}: " in besides]
    return "\n".join(
        textwrap.fill(
            f"{name}: {OPTIONS[name]}",
            width=80,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + 4),
            break_on_hyphens=False,
        )
        for name in names
        if name in OPTIONS and name not in own
    )
