"""Writers of formats: functions of a model, a path, the input's spec, and options."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras


def by_keras(format: str) -> Callable:
    """Returns a writer that uses Keras' own export."""

    def write(model, path, images, **options):
        keras.Model.export(model, path, format=format, input_signature=[images], **options)

    return write


def onnx_by_torch(model, path, images, verbose, **options):
    """Writes ONNX from PyTorch. For a free batch, Keras uses TorchScript, which is deprecated."""
    import torch

    # PyTorch treats an axis of length 1 as constant, so the sample has two images.
    sample = keras.ops.ones((images.shape[0] or 2, *images.shape[1:]), images.dtype)
    program = torch.onnx.export(
        model,
        (sample,),
        input_names=[images.name],
        dynamo=True,
        dynamic_shapes=[(_dynamic_axes(images),)],  # of the one argument in `*args`
        verbose=False,  # else it writes a report beside the file
        **options,
    )
    program.save(path)


def program_by_torch(model, path, images, **options):
    """Writes a PyTorch program with a free batch size. By default, Keras fixes it at 1."""
    if axes := _dynamic_axes(images):
        options = {"dynamic_shapes": axes, **options}
    by_keras("torch")(model, path, images, **options)


def _dynamic_axes(images):
    import torch

    return {0: torch.export.Dim("batch", min=1)} if images.shape[0] is None else {}


def openvino_from(write_onnx: Callable) -> Callable:
    """Returns a writer that converts ONNX to OpenVINO.

    Keras' own export to OpenVINO fails under JAX, and under TensorFlow for a
    model that is not fused. Under PyTorch it loses the input's name and shape.
    """

    def write(model, path, images, **options):
        import openvino

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            write_onnx(model, file, images, **options)
            network = openvino.Core().read_model(file)
            openvino.save_model(network, path, compress_to_fp16=False)

    return write
