"""A Dense layer's map in one pass over its outputs, where a backend has it."""

import keras


def affine(dense: keras.layers.Dense, inputs):
    """What a Dense layer without activation makes of its inputs: `x K + b`.

    Eager PyTorch under Keras adds the bias in a second pass, 5 % of a CRATE-B's time on a
    CPU; compiled backends do not. Quantised layers call themselves.

    Args:
        dense: A built layer.
        inputs: Tensor of shape `(..., inputs of the layer)` in the compute dtype.

    Returns:
        Tensor of shape `(..., units)`.
    """
    if keras.backend.backend() == "torch" and dense.quantization_mode is None:
        return torch_affine(dense, inputs)
    return dense(inputs)


def torch_affine(dense: keras.layers.Dense, inputs):
    """`affine` by PyTorch's own function, for a layer that is not quantised."""
    import torch

    kernel = keras.ops.convert_to_tensor(dense.kernel)
    bias = None if dense.bias is None else keras.ops.convert_to_tensor(dense.bias)
    return torch.nn.functional.linear(inputs, kernel.T, bias)
