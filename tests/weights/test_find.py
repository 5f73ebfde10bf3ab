"""`weights=`: every place where they may be, with what is really there."""

import hashlib
import json
import shutil
import zipfile

import keras
import numpy as np
import pytest
from authors import golden, images_of, state_of
from hub_client import ClientError
from marks import compiles_long, without_torch

import keras_crate
from keras_crate.hub import registry, to_pytorch
from keras_crate.weights.find import locate

SMALL = {"dim": 24, "depth": 2, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}
IMAGES = np.random.default_rng(2).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_CRATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KERAS_CRATE_HUB", raising=False)
    return tmp_path / "cache"


def _entry(folder, name="small_cats", state="unpublished", weights="cats", files=None, **more):
    """A variant of the registry for a small model."""
    arguments = {**SMALL, "classes": 3, "class_names": ["a", "b", "c"], **more}
    config = {
        "constructor": arguments.pop("constructor", "CRATE"),
        "arguments": arguments,
        "weights": weights,
        "evaluation": {"size": [16, 16], "resize": 18},
    }
    about = {
        "data": "cats",
        "state": state,
        "source": None,
        "parameters": 0,
        "accuracy": {"metric": "top-1", "dataset": "cats", "reported": None, "measured": None},
        "files": {"repository": None, "path": None, "revision": None, "sha256": None}
        | (files or {}),
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").write_text(json.dumps(config))
    (folder / name / "provenance.json").write_text(json.dumps(about))
    return name


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """A registry of a test's own."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setattr(registry, "weights_folder", lambda: folder)
    registry.variants.cache_clear()
    yield folder
    registry.variants.cache_clear()


def _model(seed=3, **options):
    keras.utils.set_random_seed(seed)
    return keras_crate.CRATE(**{**SMALL, "classes": 3, **options})


def _put(model, folder):
    """A model as it is published, in a folder."""
    folder.mkdir(parents=True)
    model.save(folder.parent / "a.keras")
    with zipfile.ZipFile(folder.parent / "a.keras") as archive:
        archive.extractall(folder)
    (folder.parent / "a.keras").unlink()


def _predict(model):
    return model.predict(IMAGES, verbose=0)


def test_a_folder_of_ones_own(registered, monkeypatch, tmp_path):
    _entry(registered)
    published = _model()
    _put(published, tmp_path / "hub" / "small_cats")
    monkeypatch.setenv("KERAS_CRATE_HUB", str(tmp_path / "hub"))
    model = keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    np.testing.assert_array_equal(_predict(model), _predict(published))
    assert model.class_names == ("a", "b", "c")
    assert keras_crate.CRATE(**SMALL, classes=3, weights="small_cats")  # the variant's name too

    shutil.rmtree(tmp_path / "hub" / "small_cats")
    published.save(tmp_path / "hub" / "small_cats.keras")
    model = keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    np.testing.assert_array_equal(_predict(model), _predict(published))


def test_other_classes_images_and_no_head(registered, monkeypatch, tmp_path):
    _entry(registered)
    published = _model()
    _put(published, tmp_path / "hub" / "small_cats")
    monkeypatch.setenv("KERAS_CRATE_HUB", str(tmp_path / "hub"))
    with pytest.warns(UserWarning, match=r"no head for this model's 7 classes: head and head_norm"):
        seven = keras_crate.CRATE(**SMALL, classes=7, weights="cats")
    assert seven.class_names is None
    with pytest.warns(UserWarning, match=r"has a head that this model does not.*were left out"):
        features = keras_crate.CRATE(**SMALL, include_top=False, weights="cats")
    with pytest.warns(UserWarning, match=r"positions are for a grid"):
        larger = keras_crate.CRATE(
            **{**SMALL, "input_shape": (32, 32, 3)}, classes=3, weights="cats"
        )
    name = "block_0_ista"
    for model in (seven, features, larger):
        np.testing.assert_array_equal(
            model.get_layer(name).get_weights()[0], published.get_layer(name).get_weights()[0]
        )
    assert larger.get_layer("token_embedding").positions.shape == (1, 17, 24)


def test_weights_in_the_package(registered):
    name = _entry(registered, state="shipped")
    published = _model()
    published.save(registered / name / "model.keras")
    digest = keras_crate.weights.find.sha256_of(registered / name / "model.keras")
    about = json.loads((registered / name / "provenance.json").read_text())
    about["files"]["sha256"] = digest
    (registered / name / "provenance.json").write_text(json.dumps(about))
    model = keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    np.testing.assert_array_equal(_predict(model), _predict(published))
    with (registered / name / "model.keras").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"model.keras is damaged: install the package again"):
        keras_crate.CRATE(**SMALL, classes=3, weights="cats")


def test_names_that_do_not_exist(registered):
    _entry(registered)
    with pytest.raises(ValueError, match=r'no weights "dogs" for this .*weights="cats"\) \(nobody'):
        keras_crate.CRATE(**SMALL, classes=3, weights="dogs")
    with pytest.raises(
        ValueError, match=r"None fits a CRATE of width 24, 2 blocks, 2 heads, patch"
    ):
        keras_crate.CRATE(**{**SMALL, "patch_size": 4}, weights="cats")
    with pytest.raises(ValueError, match=r"There are none for a CRATEAlpha"):
        keras_crate.CRATEAlpha(**SMALL, weights="cats")
    with pytest.raises(ValueError, match=r"None fits"):  # another operator has other weights
        keras_crate.CRATE(**SMALL, compress="tssa", weights="cats")
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*cats.keras"):
        keras_crate.CRATE(**SMALL, weights="cats.keras")


def test_weights_that_cannot_be_had(registered, monkeypatch, tmp_path):
    _entry(registered)
    _entry(registered, "small_dogs", state="published", weights="dogs")
    monkeypatch.setenv("KERAS_CRATE_HUB", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError) as raised:
        keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    for words in (
        "The weights small_cats cannot be had: nobody has published them",
        "nothing has neither small_cats nor small_cats.keras",
        'weights="dogs") (published by the authors',
        "`keras-crate convert FILE small_cats.keras --heads 2`",
    ):
        assert words in str(raised.value)


def test_settings_come_with_the_weights(tmp_path):
    """Those that the user leaves open; what the user says stands, with a warning."""
    trained = _model(mean=[0.2, 0.3, 0.4], std=[0.5, 0.6, 0.7], class_names=["a", "b", "c"])
    trained.save(tmp_path / "a.keras")
    model = keras_crate.CRATE(**SMALL, classes=3, weights=tmp_path / "a.keras")
    assert model.settings.mean == [0.2, 0.3, 0.4]
    assert model.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(_predict(model), _predict(trained))
    given = {"mean": [0.1, 0.1, 0.1], "std": [1.0, 1.0, 1.0], "class_names": ["x", "y", "z"]}
    with pytest.warns(UserWarning, match=r"made with other settings: mean=\[0.2, 0.3, 0.4\] there"):
        model = keras_crate.CRATE(**SMALL, classes=3, weights=tmp_path / "a.keras", **given)
    assert model.settings.mean == [0.1, 0.1, 0.1]
    assert model.class_names == ("x", "y", "z")
    plain = keras_crate.CRATE(
        **SMALL, classes=3, include_preprocessing=False, weights=_weights_only(trained, tmp_path)
    )
    assert plain.settings.mean is None


def test_a_head_knows_its_pooling(tmp_path):
    _model().save(tmp_path / "a.keras")
    with pytest.warns(UserWarning, match="pooling='token' there and 'avg' here"):
        keras_crate.CRATE(**SMALL, classes=3, pooling="avg", weights=tmp_path / "a.keras")


def test_names_are_not_taken_for_folders(registered, monkeypatch, tmp_path):
    """Whatever lies in the working folder, such as the data set of the same name."""
    _entry(registered)
    _put(_model(), tmp_path / "hub" / "small_cats")
    monkeypatch.setenv("KERAS_CRATE_HUB", str(tmp_path / "hub"))
    work = tmp_path / "work"
    (work / "cats").mkdir(parents=True)
    _model(9).save(work / "small_cats.keras")
    monkeypatch.chdir(work)
    model = keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    np.testing.assert_array_equal(_predict(model), _predict(_model()))
    # Nobody named this folder as the hub.
    monkeypatch.delenv("KERAS_CRATE_HUB")
    (work / "keras-crate").mkdir()
    _model().save(work / "keras-crate" / "small_cats.keras")
    monkeypatch.setattr(keras_crate.weights.find, "keras_folder", _unreachable)
    with pytest.raises(FileNotFoundError, match=r"cannot be had.*Looked for: no network"):
        keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    monkeypatch.setenv("KERAS_CRATE_HUB", "bad name")
    with pytest.raises(ValueError, match="An address on the Hub is"):
        keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    monkeypatch.setenv("KERAS_CRATE_HUB", "http://127.0.0.1:1/me")
    with pytest.raises(ValueError, match="another server is HF_ENDPOINT's"):
        keras_crate.CRATE(**SMALL, classes=3, weights="cats")


def _unreachable(address):
    raise OSError("no network")


def test_a_checkpoint_of_a_grid_that_is_no_square(tmp_path):
    shape = {**SMALL, "input_shape": (16, 64, 1)}
    trained = keras_crate.CRATE(**shape, classes=3)
    to_pytorch(trained, tmp_path / "a.safetensors")
    model = keras_crate.CRATE(**shape, classes=3, weights=tmp_path / "a.safetensors")
    for a, b in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _weights_only(model, folder):
    model.save_weights(folder / "a.weights.h5")
    return folder / "a.weights.h5"


@without_torch
def test_a_file_of_pytorch_is_not_downloaded_in_vain(registered, server):
    name = _entry(registered, state="published", files={"repository": "a/b", "path": "c.pth"})
    with pytest.raises(ImportError, match=r"Converting c.pth, a file of PyTorch, needs torch"):
        locate(registry.variant_named(name))


def test_settings_of_what_was_published_under_a_name(registered, monkeypatch, tmp_path):
    _entry(registered)
    published = _model(mean=[0.2, 0.3, 0.4], std=[0.5, 0.6, 0.7])
    _put(published, tmp_path / "hub" / "small_cats")
    monkeypatch.setenv("KERAS_CRATE_HUB", str(tmp_path / "hub"))
    model = keras_crate.CRATE(**SMALL, classes=3, weights="cats")
    np.testing.assert_array_equal(_predict(model), _predict(published))

    class Mine(keras_crate.CRATE):
        """A user's, with the same weights."""

    assert Mine(**SMALL, classes=3, weights="cats").settings.mean == [0.2, 0.3, 0.4]


def test_a_checkpoint_of_another_family(tmp_path):
    model = keras_crate.CRATE(**SMALL, classes=3)
    to_pytorch(model, tmp_path / "a.safetensors")
    for family in (keras_crate.CRATEMAE, keras_crate.CRATEAlpha):
        with pytest.raises(ValueError, match="another model: they are CRATE of PyTorch, and this"):
            family(**SMALL, weights=tmp_path / "a.safetensors")


@without_torch
def test_the_form_that_needs_no_pytorch(registered, server, client, tmp_path):
    numbers = golden("crate_alpha_jax_micro")
    np.savez(tmp_path / "a.npz", **state_of(numbers))
    server.add_repository("authors/both", {"a.npz": (tmp_path / "a.npz").read_bytes()})
    options = {"constructor": "CRATEAlpha", "dim": 48, "heads": 4, "input_shape": [32, 32, 3]}
    options |= {"classes": 10, "class_names": None}
    files = {"repository": "authors/both", "path": "a.pth", "without_pytorch": "a.npz"}
    _entry(tmp_path / "other", "both", "published", "both", files, **options)
    client(REGISTRY, folder=str(tmp_path / "other"))
    assert client('result = registry.variants()["both"].build().settings.epsilon') == 1e-6


def test_commands_that_make_them_exist(monkeypatch, tmp_path):
    """The error names commands; each is one that the parser takes."""
    import re

    from keras_crate_cli import COMMANDS, run

    monkeypatch.setenv("KERAS_CRATE_HUB", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError) as raised:
        keras_crate.CRATETiny(weights="imagenet", input_shape=(32, 32, 3))
    named = set(re.findall(r"`keras-crate (\w+) ", str(raised.value)))
    assert named == {"convert", "pretrain"}
    assert named <= COMMANDS.keys()
    for command in re.findall(r"`keras-crate (.*?)`", str(raised.value)):
        with pytest.raises((ValueError, OSError, SystemExit)) as tried:
            name, *words = command.split()
            run(name, words)
        assert not isinstance(tried.value, SystemExit)  # the parser takes its words
    assert "keras-crate pretrain crate_tiny_imagenet --data FOLDER" in str(raised.value)
    assert 'weights="mnist") (comes with the package)' in str(raised.value)
    command = "`keras-crate finetune --weights crate_tiny_imagenet --recipe cifar10-paper`"
    with pytest.raises(FileNotFoundError, match=command):
        keras_crate.CRATETiny(weights="cifar10", input_shape=(32, 32, 3))


def test_other_outputs_than_the_registry_says(registered, server, client, tmp_path):
    numbers = golden("crate_alpha_jax_micro")
    np.savez(tmp_path / "a.npz", **state_of(numbers))
    server.add_repository("authors/wide", {"a.npz": (tmp_path / "a.npz").read_bytes()})
    options = {"constructor": "CRATEAlpha", "dim": 48, "heads": 4, "input_shape": [32, 32, 3]}
    options |= {"classes": 11, "class_names": None}
    files = {"repository": "authors/wide", "path": "a.npz"}
    _entry(tmp_path / "other", "wide", "published", "wide", files, **options)
    client(REGISTRY, folder=str(tmp_path / "other"))
    with pytest.raises(ClientError, match=r"has 10 outputs, where wide has 11. Nothing was loaded"):
        client('registry.variants()["wide"].build()')
    assert not (client.home / "keras_crate" / "converted" / "wide.keras").exists()


@pytest.mark.parametrize("form", ["safetensors", "npz"])
def test_a_checkpoint_as_a_path(form, tmp_path):
    if form == "npz":
        numbers = golden("crate_alpha_jax_micro")
        np.savez(tmp_path / "a.npz", **state_of(numbers))
        family = keras_crate.CRATEAlpha
    else:
        numbers = golden("crate_micro")
        plain = {"heads": 4, "classifier_activation": None, "include_preprocessing": False}
        to_pytorch(
            keras_crate.hub.from_checkpoint(state_of(numbers), **plain), tmp_path / "a.safetensors"
        )
        family = keras_crate.CRATE
    model = family(
        48, 2, 4, input_shape=(32, 32, 3), patch_size=8, classes=10, classifier_activation=None,
        include_preprocessing=False, weights=tmp_path / f"a.{form}",
    )  # fmt: skip
    found = model.predict(images_of(numbers), verbose=0)
    np.testing.assert_allclose(found, numbers["logits"], atol=2e-5)
    if form == "npz":
        assert model.settings.epsilon == 1e-6
    with pytest.raises(ValueError, match=r"belong to another model|`heads` is|numbers"):
        keras_crate.CRATETiny(weights=tmp_path / f"a.{form}")


def test_a_damaged_conversion_is_made_again(registered, cache):
    """The cache holds what was converted, with its hash."""
    files = {"repository": "a/b", "path": "c.npz"}
    name = _entry(registered, state="published", files=files)
    variant = registry.variant_named(name)
    model = _model()
    file = registry.converted_file(variant)
    file.parent.mkdir(parents=True)
    model.save(file)
    digest = keras_crate.weights.find.sha256_of(file)
    record = {
        "source": "hf://a/b/c.npz",
        "sha256": "x",
        "converted": digest,
        "arrived": "2026-01-01",
    }
    noted = registry.arrival_record(variant, "hf://a/b/c.npz")
    noted.parent.mkdir(parents=True)
    noted.write_text(json.dumps(record))
    assert locate(variant).path == file
    with file.open("ab") as content:
        content.write(b"x")
    with (
        pytest.warns(UserWarning, match=r"cached weights .* are damaged. They are made again"),
        pytest.raises(FileNotFoundError, match=r"cannot be had"),
    ):
        locate(variant)
    assert not file.exists()


def test_our_namespace_on_the_hub(server, client, tmp_path):
    _entry(tmp_path / "registry")
    client(REGISTRY, folder=str(tmp_path / "registry"))
    expected = client("""
keras_crate.hub.push(trained(), "hf://keras-crate/small_cats")
result = trained().predict(images, verbose=0)""")
    load = """
model = keras_crate.CRATE(
    24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=3, weights="cats")
result = model.predict(images, verbose=0)"""
    np.testing.assert_allclose(client(load), expected, atol=1e-6)
    assert client("result = keras_crate.hub.list_weights()[0].cached")
    origin = client('result = keras_crate.hub.verify("small_cats").source')
    assert origin.startswith("hf://keras-crate/small_cats@")
    server.requests.clear()
    np.testing.assert_allclose(client(load), expected, atol=1e-6)
    assert server.requests == []  # what has come once is not asked for again

    # Another namespace; and weights that were exchanged behind a name.
    client('keras_crate.hub.push(trained(1), "hf://writer/small_cats")')
    other = client("import os\nos.environ['KERAS_CRATE_HUB'] = 'writer'" + load)
    assert np.abs(np.array(other) - expected).max() > 1e-3
    client('keras_crate.hub.push(trained(2), "hf://writer/small_cats")')
    np.testing.assert_allclose(client(load), other, atol=1e-6)  # the commit that came first
    client("import shutil; shutil.rmtree(os.environ['HF_HUB_CACHE'])")
    np.testing.assert_allclose(client(load), other, atol=1e-6)  # downloaded again
    client("del os.environ['KERAS_CRATE_HUB']")


def test_the_authors_repository(server, client, tmp_path):
    numbers = golden("crate_alpha_jax_micro")
    state = state_of(numbers)
    np.savez(tmp_path / "a.npz", **{f"params/{k}": v for k, v in state.items()})
    archive = (tmp_path / "a.npz").read_bytes()
    commit = server.add_repository("authors/models", {"jax/a.npz": archive, "b": b"x"})
    files = {"repository": "authors/models", "path": "jax/a.npz"}
    options = {"constructor": "CRATEAlpha", "classes": 10, "dim": 48, "depth": 2, "heads": 4}
    options |= {"epsilon": 1e-6, "input_shape": [32, 32, 3], "class_names": None}
    registered = tmp_path / "registry"
    for name, more in {
        "alpha": {},
        "pinned": {"revision": commit, "sha256": hashlib.sha256(archive).hexdigest()},
        "other": {"sha256": "0" * 64},
    }.items():
        _entry(registered, name, "published", name, {**files, **more}, **options)
    client(REGISTRY, folder=str(registered))
    load = """
model = keras_crate.CRATEAlpha(
    48, 2, 4, input_shape=(32, 32, 3), patch_size=8, classes=10, classifier_activation=None,
    include_preprocessing=False, weights=name)
result = model.predict(np.array(inputs, "float32"), verbose=0)"""
    inputs = images_of(numbers).tolist()
    for name in ("alpha", "pinned"):
        found = client(load, name=name, inputs=inputs)
        np.testing.assert_allclose(found, numbers["logits"], atol=2e-5)
    assert client("result = model.settings.epsilon") == 1e-6
    with pytest.raises(ClientError, match=r"not the file that other was made of: its SHA-256 is"):
        client(load, name="other", inputs=inputs)
    server.requests.clear()
    client(load, name="alpha", inputs=inputs)
    assert not any("/resolve/" in r.path for r in server.requests)  # the conversion is kept

    # Another file at the same place is not taken for the first.
    np.savez(tmp_path / "b.npz", **{f"params/{k}": v + 1e-3 for k, v in state.items()})
    server.add_repository("authors/models", {"jax/a.npz": (tmp_path / "b.npz").read_bytes()})
    (client.home / "keras_crate" / "converted" / "alpha.keras").unlink()
    with pytest.raises(ClientError, match=r"npz has changed: when it first arrived, on 20"):
        client(load, name="alpha", inputs=inputs)
    assert client("result = keras_crate.hub.list_weights()[0].cached") is False


REGISTRY = """
import pathlib
from keras_crate.hub import registry
registry.weights_folder = lambda: pathlib.Path(folder)
registry.variants.cache_clear()
"""

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
@pytest.mark.parametrize("constructor", ["CRATEBase", "CRATEAlphaBase"])
def test_full_size_from_a_namespace_and_a_folder(constructor, server, client, tmp_path):
    """Published as a variant, loaded by its name: from the Hub, then from a folder of its files."""
    variant = {
        "CRATEBase": "crate_base_imagenet",
        "CRATEAlphaBase": "crate_alpha_base_imagenet21k_imagenet",
    }[constructor]
    client(REGISTRY, folder=str(registry.weights_folder()))
    expected = client(
        FULL + "import os\nos.environ['KERAS_CRATE_HUB'] = 'writer'\n"
        f"model = model_of({constructor!r})\n"
        f"keras_crate.hub.push(model, 'hf://writer/{variant}')\n"
        "result = logits(model)"
    )
    load = f"""
model = keras_crate.{constructor}(weights="imagenet", classifier_activation=None)
result = logits(model)"""
    np.testing.assert_allclose(client(load), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    assert client("result = keras_crate.decode_predictions(logits(model), model)")[0]
    listed = "{w.variant: w.cached for w in keras_crate.hub.list_weights()}"
    assert client(f"result = {listed}")[variant] is True

    folder = tmp_path / "hub"
    for name, content in server.files(f"writer/{variant}").items():
        (folder / variant / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / variant / name).write_bytes(content)
    found = client("os.environ['KERAS_CRATE_HUB'] = folder" + load, folder=str(folder))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    client("del os.environ['KERAS_CRATE_HUB']")


@compiles_long
def test_full_size_from_the_authors(server, client):
    """A file of the authors' shapes, served as theirs is, downloaded and converted on the fly."""
    client(REGISTRY, folder=str(registry.weights_folder()))
    ending = "pth" if keras.backend.backend() == "torch" else "safetensors"
    expected = client(
        FULL + "model = model_of('CRATEAlphaBase')\n"
        "keras_crate.hub.to_pytorch(model, path)\n"
        "result = logits(model)",
        path=str(client.home / f"B16.{ending}"),
    )
    path = "torch/crate_alpha_B16.pth"
    if ending == "safetensors":  # where there is no PyTorch, a file that needs none
        client(
            "about = registry.variants()['crate_alpha_base_imagenet21k_imagenet'].provenance\n"
            "about['files']['path'] = path",
            path=(path := "torch/crate_alpha_B16.safetensors"),
        )
    content = (client.home / f"B16.{ending}").read_bytes()
    server.add_repository("UCSC-VLAA/CRATE-alpha", {path: content, "README.md": b"x"}, lfs=_is_lfs)
    load = """
model = keras_crate.CRATEAlphaBase(weights="imagenet", classifier_activation=None)
result = logits(model)"""
    np.testing.assert_allclose(client(load), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def _is_lfs(path, content) -> bool:
    return len(content) > 1000
