"""`keras-crate look`: what the heads attend to, and the objects that the tokens show."""

import json

from keras_crate.cli.model_file import (
    add_images_to,
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
        f"with the numbers. Figures show the first {SHOWN} images. Files that are no images are "
        "named and left out, and the exit status is then 1.",
    )
    parser.add_argument("model", help="a .keras file")
    add_images_to(parser, output="crate-look")
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
    import numpy as np

    from keras_crate import interpret
    from keras_crate.figure import new_figure

    new_figure(1, 1)  # if it cannot draw, it says so before it looks
    folder = output_folder(arguments.output)
    model = load_model(arguments.model)
    files = image_files(arguments, model, arguments.size)
    batches = list(files)
    status = report_broken(files)
    if not batches:
        raise ValueError(f"None of the {len(files.files)} files could be read.")
    images = np.concatenate(batches)
    if arguments.size is not None and hasattr(model, "with_input_shape"):
        model = model.with_input_shape(images.shape[1:])

    where = {"layer": arguments.layer, "batch_size": arguments.batch_size}
    features = {"what": arguments.features, **where} if arguments.features else where
    maps = interpret.attention_maps(model, images, **where)
    heat = interpret.rollout(model, images, arguments.batch_size)
    components = interpret.token_pca(model, images, **features)
    objects = interpret.segment(model, images, objects=arguments.objects, **features)

    shown = images[:SHOWN]
    figures = {
        "heads.png": interpret.plot_attention_maps(shown, maps[:SHOWN]),
        "rollout.png": interpret.plot_rollout(shown, heat[:SHOWN]),
        "components.png": interpret.plot_token_pca(
            shown, components._replace(**{k: v[:SHOWN] for k, v in _pictures(components).items()})
        ),
        "objects.png": interpret.plot_segments(shown, objects[:SHOWN]),
    }
    record = {
        "model": arguments.model,
        "layer": arguments.layer,
        "features": arguments.features,
        "image_shape": list(images.shape[1:]),
        "left_out": {str(file): reason for file, reason in files.broken.items()},
        "images": [
            {
                "file": str(file),
                **named,
                "attention": maps[k].round(5).tolist(),
                "rollout": heat[k].round(5).tolist(),
                "first_component": components.first_component[k].round(4).tolist(),
                "foreground": components.foreground[k].astype(int).tolist(),
                "objects": objects[k].tolist(),
            }
            for k, (file, named) in enumerate(
                zip(files.read, _named(model, images, arguments.batch_size), strict=True)
            )
        ],
    }
    (folder / "look.json").write_text(json.dumps(record, indent=1), encoding="utf8")
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=200)
    for name in ("look.json", *figures):
        print(f"wrote {(folder / name).resolve()}")
    return status


def _pictures(components) -> dict:
    """The fields that have one entry an image."""
    return {k: v for k, v in components._asdict().items() if k != "explained_variance_ratio"}


def _named(model, images, batch_size: int) -> list[dict]:
    """The likeliest classes of each image, where the model has names for them."""
    from keras_crate import decode_predictions

    if not getattr(model, "class_names", None):
        return [{} for _ in images]
    outputs = model.predict(images, batch_size=batch_size, verbose=0)
    return [{"predictions": found} for found in decode_predictions(outputs, model, top=5)]
