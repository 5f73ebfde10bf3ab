"""`weights=` by name: the registry, the Hub, and what cannot be loaded."""

import hashlib
import json

import keras
import numpy as np
import pytest
from authors import golden, images_of, state_of
from hub_client import ClientError
from marks import compiles_long, without_torch

import keras_crate
from keras_crate.weights import variants as registry
from keras_crate.weights.find import fetch

SMALL = {"dim": 24, "depth": 2, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}
IMAGES = np.random.default_rng(2).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


def _register(folder, *tables: dict) -> None:
    """Writes a registry with small variants."""
    lines = []
    for table in tables:
        arguments = {**SMALL, "classes": 3, "class_names": ["a", "b", "c"]}
        arguments |= table.pop("arguments", {})
        words = ", ".join(
            f"{k} = {json.dumps(list(v) if isinstance(v, tuple) else v)}"
            for k, v in arguments.items()
            if v is not None
        )
        table = {
            "name": "small_cats",
            "constructor": "CRATE",
            "weights": ["cats"],
            "state": "unpublished",
            "data": "cats",
            "parameters": 0,
            "paper": "none",
            **table,
        }
        lines.append(f"[{table.pop('name')}]\narguments = {{{words}}}")
        lines += [f"{k} = {json.dumps(v)}" for k, v in table.items()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "variants.toml").write_text("\n".join(lines))


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """The folder of a registry of a test's own."""
    folder = tmp_path / "registry"
    monkeypatch.setattr(registry, "weights_folder", lambda: folder)
    registry.variants.cache_clear()
    yield folder
    registry.variants.cache_clear()


def _model(seed=3, **options):
    keras.utils.set_random_seed(seed)
    return keras_crate.CRATE(**{**SMALL, "classes": 3, **options})


def _ship(folder, model):
    _register(folder, {"state": "shipped"})
    (folder / "small_cats").mkdir()
    model.save(folder / "small_cats" / "model.keras")


def _predict(model):
    return model.predict(IMAGES, verbose=0)


def test_weights_in_the_package(registered):
    published = _model(mean=[0.2, 0.3, 0.4], std=[0.5, 0.6, 0.7])
    _ship(registered, published)
    for model in (
        keras_crate.CRATE(**SMALL, classes=3, weights="cats"),
        keras_crate.CRATE(**SMALL, classes=3, weights="small_cats"),
        keras_crate.load("small_cats"),
    ):
        np.testing.assert_array_equal(_predict(model), _predict(published))
        assert model.class_names == ("a", "b", "c")
        assert model.settings.mean == [0.2, 0.3, 0.4]


def test_other_classes_images_and_no_head(registered):
    published = _model()
    _ship(registered, published)
    with pytest.warns(UserWarning, match=r"no head for this model's 7 classes: head and head_norm"):
        seven = keras_crate.CRATE(**SMALL, classes=7, weights="cats")
    assert seven.class_names is None
    features = keras_crate.CRATE(**SMALL, include_top=False, weights="cats")
    with pytest.warns(UserWarning, match=r"positions in .* are for a grid of \(2, 2\)"):
        larger = keras_crate.CRATE(
            **{**SMALL, "input_shape": (32, 32, 3)}, classes=3, weights="cats"
        )
    name = "block_0_ista"
    for model in (seven, features, larger):
        np.testing.assert_array_equal(
            model.get_layer(name).get_weights()[0], published.get_layer(name).get_weights()[0]
        )
    assert larger.get_layer("token_embedding").positions.shape == (1, 17, 24)


@pytest.mark.any_backend
def test_names_that_do_not_exist(registered):
    _ship(registered, _model())
    message = r"no weights 'dogs' for this model.*\n.*can be loaded: CRATE\(.*weights=\"cats\"\)"
    with pytest.raises(ValueError, match=message):
        keras_crate.CRATE(**SMALL, classes=3, weights="dogs")
    with pytest.raises(
        ValueError, match=r"Did you mean 'small_cats' or 'cats'\? The model: CRATE "
    ):
        keras_crate.CRATE(**SMALL, classes=3, weights="smal_cats")
    with pytest.raises(ValueError, match=r"CRATE of width 24, 2 blocks, 2 heads, patch 4x4"):
        keras_crate.CRATE(**{**SMALL, "patch_size": 4}, weights="cats")
    with pytest.raises(ValueError, match=r"patch 8x8, linear, tssa, ista"):
        keras_crate.CRATE(**SMALL, compress="tssa", weights="cats")
    with pytest.raises(ValueError, match=r"The model: one with operators of its own"):
        keras_crate.CRATE(**SMALL, compress=keras_crate.layers.TSSA(2), weights="cats")
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*cats.keras"):
        keras_crate.CRATE(**SMALL, weights="cats.keras")
    with pytest.raises(ValueError, match=r"no variant of this name.*Did you mean 'small_cats'"):
        keras_crate.load("small_cat")


@pytest.mark.any_backend
def test_a_registered_name_is_not_a_path(registered, monkeypatch, tmp_path):
    """Whatever lies in the working folder, such as the data set of the same name."""
    _ship(registered, _model())
    work = tmp_path / "work"
    (work / "cats").mkdir(parents=True)
    monkeypatch.chdir(work)
    model = keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    np.testing.assert_array_equal(_predict(model), _predict(_model()))


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("constructor", "weights", "state", "advice"),
    [
        ("CRATEBase", "imagenet", "nobody has published it", "keras-crate pretrain CRATEBase"),
        ("CRATESmall", "imagenet", "no program can fetch it", "convert FILE crate_small_imagenet"),
        ("CRATETiny", "cifar10", "nobody", "finetune --weights crate_tiny_imagenet --recipe cifar"),
    ],
)
def test_weights_that_cannot_be_loaded(constructor, weights, state, advice):
    """The error is four short lines at most, and its command is one that the parser takes."""
    import re

    from keras_crate_cli import COMMANDS

    with pytest.raises(FileNotFoundError) as raised:
        getattr(keras_crate, constructor)(weights=weights)
    message = str(raised.value)
    assert state in message and advice in message
    assert message.count("\n") <= 3 and message.count("weights=") == 3
    named = set(re.findall(r"`keras-crate (\w+) ", message))
    assert named <= set(COMMANDS)


@without_torch
def test_a_file_of_pytorch_is_not_downloaded_in_vain(registered, server):
    _register(registered, {"state": "published", "repository": "a/b", "file": "c.pth"})
    with pytest.raises(ImportError, match=r"Reading c.pth, a file of PyTorch, needs torch"):
        fetch(registry.variant_named("small_cats"))
    assert server.requests == []


REGISTRY = """
import pathlib
from keras_crate.weights import variants as registry
registry.weights_folder = lambda: pathlib.Path(folder)
registry.variants.cache_clear()
"""
ALPHA = {"dim": 48, "heads": 4, "input_shape": [32, 32, 3], "classes": 10, "class_names": None}
LOAD = """
model = keras_crate.CRATEAlpha(
    48, 2, 4, input_shape=(32, 32, 3), patch_size=8, classes=10, classifier_activation=None,
    include_preprocessing=False, weights=name)
result = model.predict(np.array(inputs, "float32"), verbose=0)"""


@pytest.mark.any_backend
def test_the_authors_repository(server, client, tmp_path):
    numbers = golden("crate_alpha_jax_micro")
    np.savez(tmp_path / "a.npz", **{f"params/{k}": v for k, v in state_of(numbers).items()})
    archive = (tmp_path / "a.npz").read_bytes()
    commit = server.add_repository("authors/models", {"jax/a.npz": archive, "b": b"x"})
    common = {
        "constructor": "CRATEAlpha",
        "state": "published",
        "repository": "authors/models",
        "file": "jax/a.npz",
    }
    entries = {
        "alpha": {},
        "pinned": {"revision": commit, "sha256": hashlib.sha256(archive).hexdigest()},
        "low": {"sha256": "0" * 64},
        "high": {"sha256": "f" * 64},
        "missing": {"file": "jax/none.npz"},
    }
    _register(
        tmp_path / "registry",
        *({**common, **more, "name": name, "weights": [name], "arguments": dict(ALPHA)}
          for name, more in entries.items()),
    )  # fmt: skip
    client(REGISTRY, folder=str(tmp_path / "registry"))
    inputs = images_of(numbers).tolist()
    listed = "{w.variant: w.cached for w in keras_crate.hub.list_weights()}"
    assert client(f"result = {listed}")["pinned"] is False
    for name in ("alpha", "pinned"):
        found = client(LOAD, name=name, inputs=inputs)
        np.testing.assert_allclose(found, numbers["logits"], atol=2e-5)
    assert client("result = model.settings.epsilon") == 1e-6
    assert client(f"result = {listed}")["pinned"] is True
    for name in ("low", "high"):
        with pytest.raises(ClientError, match=r"not the file of the registry. Its SHA-256 is"):
            client(LOAD, name=name, inputs=inputs)
    with pytest.raises(
        ClientError, match=r"jax/none.npz failed: there is no such file in hf://authors"
    ):
        client(LOAD, name="missing", inputs=inputs)
    server.requests.clear()
    client(LOAD, name="pinned", inputs=inputs)
    assert server.requests == []  # what came once is not asked for again


@without_torch
def test_the_form_that_needs_no_pytorch(server, client, tmp_path):
    numbers = golden("crate_alpha_jax_micro")
    np.savez(tmp_path / "a.npz", **state_of(numbers))
    server.add_repository("authors/both", {"a.npz": (tmp_path / "a.npz").read_bytes()})
    table = {"constructor": "CRATEAlpha", "state": "published", "repository": "authors/both"}
    table |= {"file": "a.pth", "file_without_pytorch": "a.npz", "arguments": ALPHA}
    _register(tmp_path / "other", table)
    client(REGISTRY, folder=str(tmp_path / "other"))
    assert client("result = keras_crate.load('small_cats').settings.epsilon") == 1e-6


FULL = """
def model_of(name, **options):
    keras.utils.set_random_seed(11)
    model = getattr(keras_crate, name)(classifier_activation=None, **options)
    for layer in model.layers:
        if "norm" in layer.name:
            layer.gamma.assign(np.linspace(0.5, 1.5, layer.gamma.shape[0]))
    return model

image = np.random.default_rng(1).uniform(0, 255, (1, 224, 224, 3)).astype("float32")

def logits(model):
    return model.predict_on_batch(image)
"""


@compiles_long
def test_full_size_from_the_authors(server, client):
    """A file of the authors' shapes, served as theirs is, downloaded and loaded."""
    client(REGISTRY, folder=str(registry.weights_folder()))
    is_torch = keras.backend.backend() == "torch"
    path = "torch/crate_alpha_B16.pth" if is_torch else "torch/crate_alpha_B16.safetensors"
    expected = client(
        FULL + "model = model_of('CRATEAlphaBase')\n"
        "keras_crate.hub.to_pytorch(model, path)\n"
        "result = logits(model)",
        path=str(client.home / path.replace("/", "_")),
    )
    if not is_torch:  # a file that needs no PyTorch
        client(
            "import dataclasses\n"
            "name = 'crate_alpha_base_imagenet21k_imagenet'\n"
            "registry.variants()[name] = dataclasses.replace(registry.variants()[name], file=path)",
            path=path,
        )
    content = (client.home / path.replace("/", "_")).read_bytes()
    server.add_repository("UCSC-VLAA/CRATE-alpha", {path: content, "README.md": b"x"}, lfs=_is_lfs)
    load = """
model = keras_crate.CRATEAlphaBase(weights="imagenet", classifier_activation=None)
result = logits(model)"""
    np.testing.assert_allclose(client(load), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    assert client("result = keras_crate.decode_predictions(logits(model), model)")[0]


def _is_lfs(path, content) -> bool:
    return len(content) > 1000
