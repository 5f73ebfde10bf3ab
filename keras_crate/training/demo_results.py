"""What both forms of the demo write: a folder of its own, figures, a model and numbers."""

import os
import shutil
from pathlib import Path

import keras

from keras_crate.files import make_folder, write_json, written_whole
from keras_crate.hub.repository_files import check_dry_run
from keras_crate.interpret import attention_maps
from keras_crate.models import decode_predictions
from keras_crate.models.saving import save_model

MARKER = ".crate-demo"  # a file in folders that the demo may overwrite
REPOSITORY = "repository"
FIGURES = ("sees.png", "layers.png")


def demo_folder(path: str | os.PathLike) -> Path:
    """Makes the folder and marks it as the demo's."""
    folder = Path(path)
    make_folder(folder)
    if any(folder.iterdir()) and not (folder / MARKER).exists():
        raise ValueError(
            f"The folder {folder} holds files that the demo did not write. Choose another "
            "`output` (`--output` on the command line), or empty the folder."
        )
    check_dry_run(folder / REPOSITORY)  # it is written anew
    (folder / MARKER).touch()
    return folder


def write_results(
    folder: Path, model: keras.Model, metrics: dict, figures: dict, say, repository: bool = False
) -> None:
    """Writes the model, the numbers and the figures, and says where they are.

    What an earlier demo of the other form left is removed: it is of another model.
    """
    save_model(model, folder / "model.keras")
    write_json(folder / "metrics.json", metrics)
    for name, figure in figures.items():
        with written_whole(folder / name) as file:
            figure.savefig(file, dpi=200)
    if not repository:
        shutil.rmtree(folder / REPOSITORY, ignore_errors=True)
    for name in FIGURES:
        if name not in figures:
            (folder / name).unlink(missing_ok=True)
    for name in ("model.keras", "metrics.json", *figures, *[REPOSITORY] * repository):
        say(f"wrote {(folder / name).resolve()}")
    path = str((folder / "model.keras").resolve())
    say("\nLoad the model with:")
    say(f"  import keras_crate, keras; model = keras.saving.load_model({path!r})")


def draw_attention(figure, model: keras.Model, images) -> None:
    """Draws grey images with the likeliest class, and under them the class token's attention.

    The attention is that of the last block, as the mean of its heads.
    """
    maps = attention_maps(model, images).mean(axis=1)
    names = decode_predictions(model.predict(images, verbose=0), model, top=1)
    axes = figure.subplots(2, len(images), squeeze=False)
    height, width = images.shape[1:3]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for k, [(name, probability)] in enumerate(names):
        axes[0, k].imshow(images[k, ..., 0], cmap="gray")
        axes[0, k].set_title(f"{name} ({probability:.0%})", fontsize=9)
        axes[1, k].imshow(images[k, ..., 0], cmap="gray")
        axes[1, k].imshow(maps[k], cmap="magma", alpha=0.75, extent=extent)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("image")
    axes[1, 0].set_ylabel("attention")
