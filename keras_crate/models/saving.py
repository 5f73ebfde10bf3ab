"""Saves models so that they load under every backend."""

from pathlib import Path

import keras

from keras_crate.files import bytes_of, written_whole
from keras_crate.keras_internals import TORCH_OPTIMIZERS


def public_optimizers(config):
    """Replaces private names of optimizers in a compile configuration by public ones.

    Under PyTorch `keras.optimizers.AdamW(...)` makes an object of a private
    class. Keras writes the module of that class to the file, and the other
    backends cannot import it.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(map(public_optimizers, config))
    if not isinstance(config, dict):
        return config
    config = {name: public_optimizers(value) for name, value in config.items()}
    if str(config.get("module")).startswith(TORCH_OPTIMIZERS):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config


def saved_size(model: keras.Model) -> int:
    """Number of bytes of a model's variables and of its optimizer's."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    return bytes_of({id(v): v for v in variables}.values())


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model to a `.keras` file that every backend loads, whole or not at all.

    In contrast to `model.save`, this also works for models that are not of this
    package, and never leaves half a file.
    """
    config = public_optimizers(model.get_compile_config())
    model.get_compile_config = lambda: config
    try:
        with written_whole(path, size=saved_size(model)) as unfinished:
            model.save(unfinished)
    finally:
        del model.get_compile_config
