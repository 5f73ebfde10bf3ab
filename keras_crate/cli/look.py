"""Writes heads.png (attention of each head), rollout.png (attention through all blocks),
components.png (principal components of the patches), objects.png (objects found without labels)
and look.json (the numbers). The first two need attention between pairs of tokens, as in MSSA.
Broken files are named and left out, and the exit status is then 1.

    keras-crate look crate_fashion_mnist photograph.jpg
    keras-crate look model.keras photographs/ --size 448 --layer 5
"""

import sys
from pathlib import Path

import numpy as np

from keras_crate import decode_predictions, interpret
from keras_crate.checks import check_positive
from keras_crate.cli.arguments import add_images, add_model, add_output, add_preparation
from keras_crate.cli.model_and_images import open_encoder, prepared, report_broken
from keras_crate.figure import mark_untrained, new_figure
from keras_crate.files import make_folder, write_json, written_whole
from keras_crate.interpret.attention import gives_scores
from keras_crate.models.blocks import chosen_blocks
from keras_crate.models.settings import channels_axis
from keras_crate.models.untrained import is_untrained
from keras_crate.models.white_box import WhiteBoxModel

SHOWN = 16  # images in a figure


def add_arguments(parser) -> None:
    add_model(parser)
    add_images(parser)
    add_preparation(parser)
    add_output(parser, "crate-look")
    parser.add_argument(
        "--layer",
        type=int,
        default=-1,
        metavar="N",
        help="number of the block, from 0; -1 is the last (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="side of the images (default: the model's)",
    )
    parser.add_argument(
        "--objects",
        type=int,
        default=1,
        metavar="N",
        help="number of objects to find (default: %(default)s)",
    )
    parser.add_argument(
        "--features", choices=("tokens", "keys"), 
        help="features for components and objects (default: tokens for components, keys for "
        "objects)",
    )  # fmt: skip


def run(arguments) -> int:
    new_figure(1, 1)  # fails here, before the computation, without matplotlib
    check_positive("objects", arguments.objects)
    model, evaluation = open_encoder(arguments.model)
    (block,) = chosen_blocks(model, [arguments.layer])
    if arguments.size is not None:
        model = _resized(model, check_positive("size", arguments.size))
    used = prepared(arguments, model, evaluation)
    files = used.images(arguments.images, model, arguments.batch_size)
    batches = list(files)
    left_out = report_broken(files.broken)
    if not batches:
        raise ValueError(f"None of the {len(files.files)} files could be read.")
    images = np.concatenate(batches)
    if untrained := is_untrained(model):
        print("note: the model is untrained: its weights are initial values", file=sys.stderr)
    folder = Path(arguments.output)
    make_folder(folder)

    figures, of_images = _look(arguments, model, block, images)
    record = {
        "model": arguments.model,
        "evaluation": used.to_dict(),
        "layer": block.number,
        "image_shape": list(images.shape[1:]),
        "left_out": left_out,
        "images": [
            {"file": str(file), **{name: values[k] for name, values in of_images.items()}}
            for k, file in enumerate(files.read)
        ],
    }
    write_json(folder / "look.json", record)
    for name, figure in figures.items():
        if untrained:
            mark_untrained(figure)
        with written_whole(folder / name) as file:
            figure.savefig(file, dpi=200)
    for name in ("look.json", *figures):
        print(f"wrote {(folder / name).resolve()}")
    return int(bool(left_out))


def _look(arguments, model, block, images) -> tuple[dict, dict]:
    """Returns the figures by file name, and lists with a value for each image by name."""
    where = {"layer": arguments.layer, "batch_size": arguments.batch_size}
    features = {"what": arguments.features, **where} if arguments.features else where
    components = interpret.token_pca(model, images, **features)
    objects = interpret.segment(model, images, objects=arguments.objects, **features)
    of_images = {
        "first_component": components.first_component.round(4).tolist(),
        "foreground": components.foreground.astype(int).tolist(),
        "objects": objects.tolist(),
    }
    shown = images[:SHOWN]
    figures = {
        "components.png": components.plot(shown, most=SHOWN),
        "objects.png": interpret.plot_segments(shown, objects[:SHOWN]),
    }
    if gives_scores(block.compress):
        maps = interpret.attention_maps(model, images, **where)
        figures["heads.png"] = interpret.plot_attention_maps(shown, maps[:SHOWN])
        of_images["attention"] = maps.round(5).tolist()
    else:
        print(f"{block.compress.name} has no attention between pairs of tokens: no heads.png")
    if all(gives_scores(block.compress) for block in chosen_blocks(model, None)):
        heat = interpret.rollout(model, images, arguments.batch_size)
        figures["rollout.png"] = interpret.plot_rollout(shown, heat[:SHOWN])
        of_images["rollout"] = heat.round(5).tolist()
    if getattr(model, "class_names", None):
        outputs = model.predict(images, batch_size=arguments.batch_size, verbose=0)
        of_images["predictions"] = decode_predictions(outputs, model, top=5)
    return figures, of_images


def _resized(model, size: int):
    """Returns the model for square images of another size."""
    if not isinstance(model, WhiteBoxModel):
        raise ValueError(
            f"`--size` needs a model of this package. Received: {type(model).__name__}"
        )
    shape = [size, size, size]
    axis = channels_axis(model.settings.data_format)
    shape[axis] = model.input_shape[1:][axis]
    return model.with_input_shape(tuple(shape))
