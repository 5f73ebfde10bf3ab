"""`keras-crate export`: a model for programs that know neither Keras nor this package."""

from pathlib import Path

from keras_crate.cli.model_file import (
    add_model_to,
    add_overwrite_to,
    load_model,
    new_file,
    report_written,
)


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write a model for ONNX, OpenVINO, LiteRT, TensorFlow or PyTorch",
        description="Writes a model, fused where it can be, for programs that know neither Keras "
        "nor keras_crate. It takes batches of any size. KERAS_BACKEND decides which formats can "
        "be made; where one cannot, the error names the backends that can.",
    )
    add_model_to(parser)
    parser.add_argument(
        "out",
        metavar="OUT",
        help="to write to: .onnx, .xml (OpenVINO), .tflite (LiteRT), .pt2 (torch.export), or a "
        "folder (SavedModel)",
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        help="tf_saved_model, onnx, openvino, litert or torch; by default OUT's ending tells",
    )
    parser.add_argument(
        "--unfused",
        action="store_true",
        help="as the model is, with the operators as the paper writes them",
    )
    add_overwrite_to(parser)
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.export import FORMATS, check_format, check_path, export_model

    out = new_file(arguments, (Path(arguments.out).suffix,))
    formats = {known.ending: name for name, known in FORMATS.items()}
    if arguments.format is None and out.suffix not in formats:
        raise ValueError(
            f"OUT must end in {', '.join(filter(None, formats))}, or have no ending for a "
            f"SavedModel's folder; or pass --format. Received: {out}"
        )
    format = arguments.format or formats[out.suffix]
    check_format(format)  # before what takes long
    check_path(out, format)
    model = load_model(arguments.model)
    if not arguments.unfused:
        model = _fused(model)
    export_model(model, out, format)
    report_written(model, out)
    known, images = FORMATS[format], model.inputs[0]
    load = known.load.format(path=out.as_posix(), input=images.name)
    shape = ", ".join(map(str, images.shape[1:]))
    print(f"images: {images.name}, {images.dtype}, of shape (any, {shape})")
    print(f"load it: import {known.runtime}; {load}")
    return 0


def _fused(model):
    import keras_crate

    if getattr(getattr(model, "settings", None), "fused", False):
        return model
    try:
        return keras_crate.fuse(model)
    except ValueError as error:
        raise ValueError(f"{error} --unfused exports it as it is.") from error
