"""What importing the package brings along, and which backend it starts on."""

import json
import os
import subprocess
import sys

import keras
import pytest


def _python(code, **environment):
    environment = {**os.environ, **environment}
    environment = {k: v for k, v in environment.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


def test_importing_adds_nothing_to_what_keras_imports_and_registers_what_files_name():
    names = ("CRATE", "MSSA", "ISTA", "PatchEmbedding", "TokenEmbedding", "TokenPooling")
    names += ("Crossentropy", "Accuracy", "TopAccuracy", "SmoothedBinaryCrossentropy")
    names += ("ScaledAdamW", "ScaledLion", "ScaledSGD", "CosineOfUpdates")  # of the files of runs
    code = (
        "import json, keras, sys\n"
        "before = {module.split('.')[0] for module in sys.modules}\n"
        "import keras_crate\n"
        f"for name in {names}: assert keras.saving.get_registered_object('keras_crate>' + name)\n"
        "after = {module.split('.')[0] for module in sys.modules}\n"
        "print(json.dumps(sorted(after - before)))"
    )
    result = _python(code, KERAS_BACKEND=keras.backend.backend())
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == ["keras_crate"]


def test_takes_an_installed_backend_where_keras_would_not(tmp_path):
    other = next(name for name in ("torch", "jax") if name != keras.backend.backend())
    (tmp_path / "keras.json").write_text(json.dumps({"backend": other}))
    code = "import keras_crate, keras; print(keras.backend.backend())"
    result = _python(code, KERAS_BACKEND=None, KERAS_HOME=str(tmp_path))
    assert result.stdout.split()[-1] in ("jax", "tensorflow", "torch"), result.stderr


HIDE = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in {hidden} else real(name, *a)
"""


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("hidden", "wanted", "message"),
    [
        (("jax", "tensorflow", "torch"), None, "pip install jax or pip install tensorflow"),
        (("torch",), "torch", "pip install torch, or set it to an"),
        ((), "nope", "KERAS_BACKEND is nope, which Keras does not know. Unset it, or set"),
    ],
)
def test_without_a_backend_it_says_which_command_installs_one(hidden, wanted, message):
    """Hidden from the search for modules, as if it were not installed."""
    if wanted and keras.backend.backend() == wanted:
        hidden, wanted, message = ("jax",), "jax", "pip install jax, or set"
    hide = HIDE.format(hidden=hidden)
    command = hide + "from keras_crate_cli import main; sys.exit(main(['demo']))"
    result = _python(command, KERAS_BACKEND=wanted)
    assert result.returncode == 1
    assert result.stderr.startswith("keras-crate: error: ") and message in result.stderr
    assert "Traceback" not in result.stderr
    library = hide + "import keras_crate; keras_crate.CRATETiny()"
    result = _python(library, KERAS_BACKEND=wanted)
    assert f"ImportError: {'Keras' if not wanted else 'KERAS'}" in result.stderr
    assert message in result.stderr


@pytest.mark.any_backend
def test_an_unknown_name():
    import keras_crate

    with pytest.raises(AttributeError, match="no attribute 'CRATEHuge'"):
        keras_crate.CRATEHuge  # noqa: B018
