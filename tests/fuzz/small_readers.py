"""The readers of files that are not weights: JSON, TOML, tables, pictures and arrays of images."""

import io
import json
import struct
from pathlib import Path

import numpy as np
from fuzz.reader import Reader
from PIL import Image

from keras_crate.data import ImageFiles, open_data
from keras_crate.distributed.devices import Devices
from keras_crate.evaluation import Evaluation
from keras_crate.evaluation.resumable import begun
from keras_crate.hub.open_model import _evaluation_of
from keras_crate.training import Recipe, load_recipe
from keras_crate.training.checkpoints import Backup
from keras_crate.training.history import RunHistory
from keras_crate.training.run_facts import facts_of_run

_RECIPE = Recipe(epochs=9, rand_augment=(2, 9), simdino={"local_crops": 2})
_RUN = {
    "model": "a.keras", "dataset": "huggingface:a/b", "backend": "torch", "seed": 7,
    "versions": {"keras": "3.9", "torch": "2.5"}, "recipe": _RECIPE.to_dict(),
}  # fmt: skip
_UNFINISHED = {"settings": {"top": 1, "model": ["a", "b"]}, "files": ["a.png", "b.png"]}
_TOML = b"""extends = "photographs"
epochs = 30
crop_area = [0.2, 1.0]
precision = "none"

[simdino]
local_crops = 2
"""
_HISTORY = b"epoch,loss,val_accuracy\n0,1.5,0.5\n1,1.25,0.75\n"
_FORMS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


def _json(values):
    return lambda: [json.dumps(values).encode(), json.dumps(values, indent=1).encode()]


def _pictures() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3)).astype("uint8")
    files = []
    for form in _FORMS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form)
        files.append(file.getvalue())
    return files


def _arrays() -> list[bytes]:
    arrays = {"x_train": np.zeros((4, 3, 3), "uint8"), "y_train": np.array([0, 1, 0, 1])}
    files = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        files.append(file.getvalue())
    return files


def _picture(path: Path) -> None:
    files = ImageFiles([path], (8, 8, 3), resize=9)
    list(files)
    for file, reason in files.broken.items():
        raise ValueError(f"{file}: {reason}")


def _idx(path: Path) -> None:
    (path.parent / "train-labels-idx1-ubyte").write_bytes(
        struct.pack(">HBBI", 0, 8, 1, 2) + b"\0\1"
    )
    open_data(path.parent)


def _facts(path: Path) -> None:
    facts_of_run(path.with_name("model.keras"))


def _backup(path: Path) -> None:
    (path.parent / "phase-0-epoch-00002.weights.h5").write_bytes(b"")
    Backup(path.parent, Devices())


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing

SMALL_READERS = [
    Reader("recipe", "recipe.json", _json(_RECIPE.to_dict()), load_recipe),
    Reader("toml", "recipe.toml", lambda: [_TOML], load_recipe),
    Reader("evaluation", "evaluation.json", _json(Evaluation(size=(8, 8)).to_dict()),
           lambda path: _evaluation_of(None, path)),
    Reader("facts", "facts/run.json", _json(_RUN), _facts),
    Reader("unfinished", "unfinished/run.json", _json(_UNFINISHED),
           lambda path: begun(path.parent, _UNFINISHED)),
    Reader("backup", "backup/manifest.json",
           _json({"phase": 0, "epochs": 2, "sha256": _EMPTY}), _backup),
    Reader("history", "history.csv", lambda: [_HISTORY], lambda path: RunHistory(path, 2)),
    Reader("picture", "picture.img", _pictures, _picture),
    Reader("arrays", "arrays.npz", _arrays, open_data),
    Reader("idx", "idx/train-images-idx3-ubyte",
           lambda: [struct.pack(">HBB3I", 0, 8, 3, 2, 3, 3) + bytes(18)], _idx),
]  # fmt: skip
