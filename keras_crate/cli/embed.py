"""Writes a model's features of images to a .npz file of NumPy. The file has the arrays `features`,
with one row per image, and `files`. For a classifier, the features are taken before its head.
For a masked autoencoder or SimDINO, they are those of the encoder. Folders are searched
recursively, and the files of a folder are sorted. Files that cannot be read are left out and
listed at the end with the reason. The exit status is 0 if all files were read, and 1 otherwise.
Partial results are in the folder OUT.unfinished. To resume an interrupted run, repeat the
command. With --engine ray, Ray computes on all cores or GPUs of this machine or of a cluster.
IMAGE may then be Parquet files with images. OUT is a folder of Parquet files with one row per
image: its file or key, `features`, and `error`, the reason if the image cannot be read. The
exit status is then 0 even if some images cannot be read.

    keras-crate embed crate_fashion_mnist photographs/ features.npz
    keras-crate embed crate_fashion_mnist photographs/ features --engine ray
    keras-crate embed model.keras shards/ features --engine ray --workers 16
"""

from keras_crate.cli.arguments import (
    add_images,
    add_model,
    add_new_file,
    add_preparation,
    new_file,
)
from keras_crate.cli.engine import add_engine, engine_options, report, start_ray
from keras_crate.cli.model_and_images import open_encoder, prepared
from keras_crate.evaluation import write_features, write_features_on_ray


def add_arguments(parser) -> None:
    add_model(parser)
    add_images(parser)
    add_new_file(parser, "the .npz file to write, or the folder with --engine ray")
    add_preparation(parser)
    add_engine(parser)


def run(arguments) -> int:
    options = engine_options(arguments)
    if arguments.engine == "ray":
        out = start_ray("OUT", arguments.out, arguments.overwrite)
        write = write_features_on_ray
    else:
        out, write = new_file(arguments, (".npz",)), write_features
    model, evaluation = open_encoder(arguments.model)
    used = prepared(arguments, model, evaluation)
    sizes = {"evaluation": used, "batch_size": arguments.batch_size}
    return report(out, write(model, arguments.images, out, **sizes, **options))
