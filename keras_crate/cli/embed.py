"""Writes a model's features of images to a .npz file of NumPy. The file has the arrays `features`,
with one row per image, and `files`. For a classifier, the features are taken before its head. For a
masked autoencoder or SimDINO, they are those of the encoder. Folders are searched recursively, and
the files of a folder are sorted. Files that cannot be read are left out and listed at the end with
the reason. The exit status is 0 if all files were read, and 1 otherwise. Partial results are in the
folder OUT.unfinished. To resume an interrupted run, repeat the command.

    keras-crate embed crate_fashion_mnist photographs/ features.npz
"""

from keras_crate.cli.arguments import (
    add_images,
    add_model,
    add_new_file,
    add_preparation,
    new_file,
)
from keras_crate.cli.model_and_images import open_encoder, prepared, report_broken
from keras_crate.evaluation import write_features


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    add_model(parser)
    add_images(parser)
    add_new_file(parser, "the .npz file to write")
    add_preparation(parser)


def run(arguments) -> int:
    """Runs the command."""
    out = new_file(arguments, (".npz",))
    model, evaluation = open_encoder(arguments.model)
    broken = write_features(
        model,
        arguments.images,
        out,
        evaluation=prepared(arguments, model, evaluation),
        batch_size=arguments.batch_size,
        verbose=1,
    )
    print(f"wrote {out.resolve()}")
    return int(bool(report_broken(broken)))
