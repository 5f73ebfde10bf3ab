"""`keras-crate look`: what the heads attend to, and the objects that the tokens show."""

import json

import numpy as np

from keras_crate.cli.model_file import (
    add_files_to,
    image_files,
    load_model,
    output_folder,
    report_broken,
)

SHOWN = 16  # images in a figure: more do not fit a page


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "look",
        help="see what the heads of a model attend to, and which objects it parts",
        description="Writes heads.png (attention of each head), rollout.png, components.png "
        "(principal components of the patches), objects.png (found without labels) and look.json, "
        "with the numbers; the first two where the layers attend to tokens one by one. Figures "
        f"show the first {SHOWN} images. Files that are no images are named "
        "and left out, and the exit status is then 1.",
    )
    add_files_to(parser, output="crate-look")
    parser.add_argument(
        "--layer", type=int, default=-1, help="number of the block; -1 is the last (%(default)s)"
    )
    parser.add_argument("--size", type=int, help="pixels a side, by default the model's own")
    parser.add_argument("--objects", type=int, default=1, help="to look for (%(default)s)")
    parser.add_argument(
        "--features",
        choices=("tokens", "keys"),
        help="what to take components and objects of (tokens for the ones, keys for the others)",
    )
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate import interpret
    from keras_crate.figure import new_figure
    from keras_crate.interpret.attention import gives_scores
    from keras_crate.models.blocks import chosen_blocks
    from keras_crate.models.checks import check_positive
    from keras_crate.models.white_box import WhiteBoxModel

    new_figure(1, 1)  # if it cannot draw, it says so before it looks
    model = load_model(arguments.model)
    (block,) = chosen_blocks(model, [arguments.layer])
    check_positive("objects", arguments.objects)
    files = image_files(arguments, model, arguments.size)
    if arguments.size is not None and isinstance(model, WhiteBoxModel):
        model = model.with_input_shape(files.input_shape)
    folder = output_folder(arguments.output)
    batches = list(files)
    status = report_broken(files)
    if not batches:
        raise ValueError(f"None of the {len(files.files)} files could be read.")
    images = np.concatenate(batches)

    where = {"layer": arguments.layer, "batch_size": arguments.batch_size}
    features = {"what": arguments.features, **where} if arguments.features else where
    components = interpret.token_pca(model, images, **features)
    objects = interpret.segment(model, images, objects=arguments.objects, **features)
    of_images = {
        "first_component": components.first_component.round(4),
        "foreground": components.foreground.astype(int),
        "objects": objects,
    }
    shown = images[:SHOWN]
    figures = {
        "components.png": interpret.plot_token_pca(shown, _first(components)),
        "objects.png": interpret.plot_segments(shown, objects[:SHOWN]),
    }
    if gives_scores(block.compress):
        maps = interpret.attention_maps(model, images, **where)
        figures["heads.png"] = interpret.plot_attention_maps(shown, maps[:SHOWN])
        of_images["attention"] = maps.round(5)
    else:
        print(f"{block.compress.name} attends to no tokens one by one: no heads.png")
    if all(gives_scores(block.compress) for block in chosen_blocks(model, None)):
        heat = interpret.rollout(model, images, arguments.batch_size)
        figures["rollout.png"] = interpret.plot_rollout(shown, heat[:SHOWN])
        of_images["rollout"] = heat.round(5)
    names = _named(model, images, arguments.batch_size)
    record = {
        "model": arguments.model,
        "layer": block.number,
        "image_shape": list(images.shape[1:]),
        "left_out": {str(file): reason for file, reason in files.broken.items()},
        "images": [
            {
                "file": str(file),
                **names[k],
                **{name: of[k].tolist() for name, of in of_images.items()},
            }
            for k, file in enumerate(files.read)
        ],
    }
    (folder / "look.json").write_text(json.dumps(record, indent=1), encoding="utf8")
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=200)
    for name in ("look.json", *figures):
        print(f"wrote {(folder / name).resolve()}")
    return status


def _first(components):
    """The components of the images that are shown."""
    kept = {k: v[:SHOWN] for k, v in components._asdict().items() if np.ndim(v) > 1}
    return components._replace(**kept)


def _named(model, images, batch_size: int) -> list[dict]:
    """The likeliest classes of each image, where the model has names for them."""
    from keras_crate import decode_predictions

    if not getattr(model, "class_names", None):
        return [{} for _ in images]
    outputs = model.predict(images, batch_size=batch_size, verbose=0)
    return [{"predictions": found} for found in decode_predictions(outputs, model, top=5)]
