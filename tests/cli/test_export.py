"""`export`: what it writes runs as it says, and what it refuses."""

import importlib
import re

import keras
import numpy as np
from marks import needs

import keras_crate
from keras_crate.export import FORMATS
from keras_crate_cli import main

# To each backend the format that takes the least time, or no tools.
FORMAT = {"jax": "onnx", "tensorflow": "tf_saved_model", "torch": "torch"}[keras.backend.backend()]
KNOWN = FORMATS[FORMAT]
needs_tools = needs(*KNOWN.writers[keras.backend.backend()].tools, KNOWN.runtime)


def run_as_told(told, images):
    """Runs what the command said loads the file."""
    runtime, load = re.search(r"load it: import ([\w.]+); (.*)", told).groups()
    module = importlib.import_module(runtime)
    scope = {runtime: module, "images": module.from_numpy(images) if FORMAT == "torch" else images}
    exec(load, scope)
    return np.asarray(scope["outputs"].detach() if FORMAT == "torch" else scope["outputs"])


@needs_tools
def test_exports_fused(model_file, tmp_path, capsys, rng):
    model = keras.saving.load_model(model_file)
    fused = keras_crate.fuse(model)
    fused.save(tmp_path / "fused.keras")
    out = tmp_path / f"out{KNOWN.ending}"
    images = rng.uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    for file, options in (
        (model_file, []),
        (tmp_path / "fused.keras", ["--overwrite", "--format", FORMAT]),
    ):
        assert main(["export", str(file), str(out), *options]) == 0
        told = capsys.readouterr().out
        assert f"CRATE, {fused.count_params():,} parameters\n" in told
        assert f"wrote {out.resolve()}\n" in told
        assert "images: images, float32, of shape (any, 16, 16, 3)\n" in told
        np.testing.assert_allclose(run_as_told(told, images), expected, atol=1e-4)
    assert fused.count_params() != model.count_params()
    assert main(["export", str(model_file), str(out)]) == 1
    assert "exists. Pass --overwrite" in capsys.readouterr().err


@needs_tools
def test_a_model_that_cannot_be_fused(model_file, tmp_path, capsys, rng):
    inside = keras.saving.load_model(model_file)
    model = keras.Model(inside.input, inside.output)
    model.save(tmp_path / "users.keras")
    command = ["export", str(tmp_path / "users.keras"), str(tmp_path / f"out{KNOWN.ending}")]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "must be a model of this package" in error and "--unfused exports it as it is" in error
    assert main([*command, "--unfused"]) == 0
    images = rng.uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    got = run_as_told(capsys.readouterr().out, images)
    np.testing.assert_allclose(got, model.predict(images, verbose=0), atol=1e-4)


def test_refused_before_the_model_is_read(tmp_path, refused):
    other = ".tflite" if keras.backend.backend() != "tensorflow" else ".pt2"
    for message, out, *options in (
        ("none.keras", f"a{KNOWN.ending}"),
        ("`path` must ", "a.xml", "--format", FORMAT),
        ("`format` must be one of", "a", "--format", "onyx"),
        ("cannot be made by the backend", f"a{other}"),
        ("OUT must end in .onnx, .xml, .tflite, .pt2, or have no", "a.onx"),
        ("must be a file in a folder that exists", f"none/a{KNOWN.ending}"),
    ):
        error = refused("export", "none.keras", tmp_path / out, *options)
        assert message in error and error.count("\n") <= 2
    assert not list(tmp_path.iterdir())
