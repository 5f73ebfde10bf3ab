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

    # Keras casts within a layer's call alone, and a rematerialised gradient comes after it.
    inputs, kernel, bias = (
        None if x is None else keras.ops.convert_to_tensor(x, dtype=dense.compute_dtype)
        for x in (inputs, dense.kernel, dense.bias)
    )
    return torch.nn.functional.linear(inputs, kernel.T, bias)
