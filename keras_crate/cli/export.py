"""Fuses a model and writes it for programs that use neither Keras nor keras_crate. The exported
model takes batches of any size. KERAS_BACKEND decides which formats can be written. For another
format, the error names the backends that can write it.

    keras-crate export crate_fashion_mnist crate.onnx
"""

from pathlib import Path

from keras_crate.cli.arguments import add_model, add_new_file, new_file, report_written
from keras_crate.cli.model_and_images import open_encoder
from keras_crate.export.export_model import check_path, export_model
from keras_crate.export.formats import FORMATS, check_format
from keras_crate.models import fuse


def add_arguments(parser) -> None:
    add_model(parser)
    add_new_file(parser, "file to write: .onnx, .xml (OpenVINO), .tflite (LiteRT), .pt2 "
                 "(torch.export), or a folder (SavedModel)")  # fmt: skip
    parser.add_argument(
        "--format", metavar="FORMAT",
        help="tf_saved_model, onnx, openvino, litert or torch (default: by the ending of OUT)",
    )  # fmt: skip
    parser.add_argument(
        "--unfused", action="store_true", help="export the operators as the paper writes them"
    )


def run(arguments) -> None:
    out = new_file(arguments, (Path(arguments.out).suffix,), folder=True)
    formats = {known.ending: name for name, known in FORMATS.items()}
    if arguments.format is None and out.suffix not in formats:
        raise ValueError(
            f"OUT must end in {', '.join(filter(None, formats))}, or have no ending for a "
            f"SavedModel's folder; or pass --format. Received: {out}"
        )
    format = arguments.format or formats[out.suffix]
    check_format(format)  # before the model is loaded, which takes long
    check_path(out, format)
    model, _ = open_encoder(arguments.model)
    if not arguments.unfused:
        model = _fused(model)
    export_model(model, out, format)
    report_written(model, out)
    known, images = FORMATS[format], model.inputs[0]
    load = known.load.format(path=out.as_posix(), input=images.name)
    shape = ", ".join(map(str, images.shape[1:]))
    print(f"images: {images.name}, {images.dtype}, of shape (any, {shape})")
    print(f"load it: import {known.runtime}; {load}")


def _fused(model):
    if getattr(getattr(model, "settings", None), "fused", False):
        return model
    try:
        return fuse(model)
    except ValueError as error:
        raise ValueError(f"{error} --unfused exports it as it is.") from error
