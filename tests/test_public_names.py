"""The public names: what `dir` shows, and how each refuses a misspelt argument."""

import importlib
import inspect
import pkgutil

import pytest

import keras_crate
from keras_crate import layers, models, training

pytestmark = pytest.mark.any_backend

ROOMS = [
    room
    for found in pkgutil.iter_modules(keras_crate.__path__, "keras_crate.")
    # Imported where KerasHub is installed only.
    if found.ispkg
    and found.name != "keras_crate.keras_hub"
    and hasattr(room := importlib.import_module(found.name), "__all__")
]


def test_dir_shows_public_names_only():
    assert {room.__name__.rpartition(".")[2] for room in ROOMS} > {"data", "export", "training"}
    for room in (keras_crate, *ROOMS):
        assert dir(room) == sorted(room.__all__), room.__name__
        assert all(getattr(room, name) is not None for name in room.__all__)


def _functions():
    """Functions and classes that a user calls, by name."""
    for room in (keras_crate, *ROOMS):
        for name in room.__all__:
            found = getattr(room, name)
            made_by_functions = inspect.isclass(found) and issubclass(found, (tuple, Exception))
            # What `export` cannot know goes to the tools that write files.
            if callable(found) and not made_by_functions and room.__name__ != "keras_crate.export":
                yield name, found


def test_a_misspelt_argument_is_named_with_the_nearest():
    assert len(dict(_functions())) > 70
    for name, function in _functions():
        known = [*inspect.signature(function).parameters, "nothing"][0]
        nearest = "" if known == "nothing" else rf"\. Did you mean .*'{known}'"
        with pytest.raises(TypeError, match=rf"^{name} has no argument `{known}s`{nearest}"):
            function(**{known + "s": 1})


def test_misplaced_arguments():
    for train in (training.finetune, training.pretrain):
        with pytest.raises(TypeError, match=r"argument `epochs`.* recipe=Recipe\(epochs=1\)$"):
            train("model.keras", "pets", epochs=1)
        with pytest.raises(TypeError, match=r"`epoch`. Did you mean 'epochs'"):
            train("model.keras", "pets", epoch=1)
        with pytest.raises(TypeError, match=r"`worker`. Did you mean 'workers'"):
            train("model.keras", "pets", worker=1)
    with pytest.raises(TypeError, match=r"recipe=DemoRecipe\(epochs=1\)"):
        training.run_demo_from_scratch(epochs=1)
    with pytest.raises(TypeError, match=r"from_checkpoint has no .* mean 'heads'"):
        keras_crate.hub.from_checkpoint("weights.pth", head=12)


def test_arguments_of_layers_reach_the_bases():
    class Sub(layers.TSSA):
        def __init__(self, tau=1.0, **kwargs):
            super().__init__(**kwargs)

    assert Sub(heads=2, name="sub", dtype="float16", trainable=False).heads == 2
    with pytest.warns(UserWarning, match="input_shape"):  # Keras takes it, and advises against it
        Sub(heads=2, input_shape=(4, 8))
    for wrong, near in (("head", "heads"), ("taus", "tau"), ("trainables", "trainable")):
        with pytest.raises(TypeError, match=f"^Sub has no argument `{wrong}`. .*'{near}'"):
            Sub(**{"heads": 2, wrong: 1})


def test_names_of_other_libraries():
    for wrong, ours in (("img_size", "input_shape"), ("global_pool", "pooling")):
        with pytest.raises(TypeError, match=f"has no argument `{wrong}`. Did you mean '{ours}'"):
            models.CRATETiny(**{wrong: 1})
    with pytest.raises(TypeError, match="Did you mean 'learning_rate'"):
        training.load_recipe("digits-small", lr=1e-3)


def test_signatures_and_methods_stay():
    assert list(inspect.signature(keras_crate.interpret.rollout).parameters) == [
        "model", "images", "batch_size",
    ]  # fmt: skip
    mae = models.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    for method, wrong in ((mae.encoder, "class"), (mae.reconstruct, "noises")):
        with pytest.raises(TypeError, match=f"{method.__name__} has no argument `{wrong}`. Did"):
            method(**{wrong: 1})
