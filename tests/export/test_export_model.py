"""Exports, run by the programs that they are for."""

import functools
import importlib
import logging
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from marks import needs

import keras_crate
from keras_crate.export import FORMATS, export_model, format_table
from keras_crate.export.formats import BACKEND_NAMES, Writer

BACKEND = keras.backend.backend()
# Every format that this backend makes. All run where all runtimes are: tox's `checkpoints`.
MADE = [
    pytest.param(name, marks=needs("onnxruntime", *known.writers[BACKEND].tools, known.runtime))
    for name, known in FORMATS.items()
    if BACKEND in known.writers
]
NOT_MADE = [name for name, known in FORMATS.items() if BACKEND not in known.writers]
FAMILIES = {name: getattr(keras_crate, name) for name in ("CRATE", "CRATEAlpha", "CBT")}
LOGITS, PROBABILITIES = None, "softmax"


def small(family="CRATE", **options):
    size = {"dim": 24, "depth": 1, "heads": 3, "input_shape": (16, 16, 3), "patch_size": 8}
    return FAMILIES[family](**{**size, "classes": 5, **options})


def path_of(folder, format):
    return folder / f"exported{FORMATS[format].ending}"


@functools.cache
def model_and_outputs(family, form, activation):
    """A model, and what it makes of one image and of three."""
    model = small(family, classifier_activation=activation)
    if form != "plain":
        model = keras_crate.fuse(model)
    if form == "int8":
        model.quantize("int8")
    return model, outputs_of(model)


def outputs_of(model):
    rng = np.random.default_rng(1)
    batches = [rng.uniform(0, 255, (n, 16, 16, 3)).astype("float32") for n in (1, 3)]
    return [(x, np.asarray(model.predict(x, verbose=0), "float32")) for x in batches]


def run_by_its_runtime(path, format, images, name="images"):
    """What a user's program gets that follows the format's `load`."""
    known = FORMATS[format]
    module = known.runtime.partition(".")[0]
    importlib.import_module(known.runtime)
    if format == "torch":
        import torch

        images = torch.from_numpy(images)
    scope = {module: importlib.import_module(module), "images": images}
    exec(known.load.format(path=path, input=name), scope)
    outputs = scope["outputs"]
    if isinstance(outputs, dict):
        (outputs,) = outputs.values()
    return np.asarray(outputs.detach() if format == "torch" else outputs, "float32")


def assert_same(path, format, expected, tolerance=1e-4):
    for images, outputs in expected:
        got = run_by_its_runtime(path, format, images)
        assert got.shape == outputs.shape
        assert np.abs(got - outputs).max() <= tolerance


@pytest.mark.parametrize("format", MADE)
@pytest.mark.parametrize(
    ("family", "form", "activation"),
    [
        ("CRATE", "fused", PROBABILITIES),
        ("CRATE", "int8", LOGITS),
        ("CRATEAlpha", "plain", LOGITS),
        ("CBT", "fused", PROBABILITIES),
        pytest.param("CRATE", "plain", LOGITS, marks=pytest.mark.slow),
        pytest.param("CRATEAlpha", "fused", PROBABILITIES, marks=pytest.mark.slow),
        pytest.param("CBT", "plain", LOGITS, marks=pytest.mark.slow),
    ],
)
def test_the_runtime_computes_what_the_model_does(
    family, form, activation, format, tmp_path, capsys, caplog
):
    model, expected = model_and_outputs(family, form, activation)
    path = path_of(tmp_path, format)
    if form == "int8" and "quantised layers" in FORMATS[format].refuses:
        with pytest.raises(ValueError, match="does not take models with quantised layers"):
            export_model(model, path, format)
        assert not list(tmp_path.iterdir())
        return
    capsys.readouterr(), caplog.clear()  # what `predict` had to say
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        model.export(path, format=format)
    assert capsys.readouterr() == ("", "") and not caplog.records
    assert not [w for w in warned if "os.fork" not in str(w.message)]  # OpenVINO's, later
    names = {path.name, path.with_suffix(".bin").name} if format == "openvino" else {path.name}
    assert {made.name for made in tmp_path.iterdir()} == names
    assert_same(path, format, expected)


@pytest.mark.parametrize("format", NOT_MADE)
def test_what_a_backend_cannot_make_it_says(format, tmp_path):
    with pytest.raises(ValueError) as refusal:
        export_model(small(), path_of(tmp_path, format), format)
    for said in (f'format="{format}"', f"backend {BACKEND}", *FORMATS[format].writers):
        assert said in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_the_table_in_the_docs_is_this_one():
    assert len(MADE) + len(NOT_MADE) == len(FORMATS) and set(BACKEND_NAMES) >= {BACKEND}
    page = Path(__file__).parents[2] / "docs" / "export.md"
    assert format_table() in page.read_text("utf8")


@pytest.mark.parametrize("format", MADE)
def test_half_precision(format, tmp_path):
    model, path = small(dtype="mixed_bfloat16"), path_of(tmp_path, format)
    if "half precision" not in FORMATS[format].refuses:
        export_model(model, path, format)
        assert_same(path, format, outputs_of(model), tolerance=2e-2)
        return
    with pytest.raises(ValueError, match="does not take models with half precision"):
        export_model(model, path, format)


@pytest.mark.skipif("litert" in NOT_MADE, reason="only TensorFlow makes LiteRT")
@needs("ai_edge_litert")
def test_litert_quantises_by_its_own_means(tmp_path):
    import tensorflow as tf

    model = keras_crate.fuse(small(dim=96, depth=2))
    for name, options in (("float", {}), ("int8", {"optimizations": [tf.lite.Optimize.DEFAULT]})):
        export_model(model, tmp_path / f"{name}.tflite", "litert", **options)
    sizes = [(tmp_path / f"{name}.tflite").stat().st_size for name in ("int8", "float")]
    assert sizes[0] < 0.6 * sizes[1]
    assert_same(tmp_path / "int8.tflite", "litert", outputs_of(model), tolerance=5e-2)


@needs("onnxruntime", *FORMATS["onnx"].writers[BACKEND].tools)
def test_a_signature_fixes_the_batch_and_names_the_input(tmp_path, rng):
    import onnxruntime

    model = keras_crate.fuse(small())
    signature = [keras.InputSpec(shape=(2, 16, 16, 3), dtype="float32", name="photographs")]
    export_model(model, tmp_path / "a.onnx", "onnx", input_signature=signature)
    (images,) = onnxruntime.InferenceSession(tmp_path / "a.onnx").get_inputs()
    assert (images.name, images.shape) == ("photographs", [2, 16, 16, 3])
    pixels = rng.uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    got = run_by_its_runtime(tmp_path / "a.onnx", "onnx", pixels, "photographs")
    assert np.abs(got - keras.ops.convert_to_numpy(model(pixels))).max() <= 1e-4
    with pytest.raises(ValueError, match="`input_signature` must hold one input of rank 4"):
        export_model(model, tmp_path / "a.onnx", "onnx", input_signature=signature * 2)


def test_weights_of_something_else_are_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS["openvino"].writers, BACKEND, Writer(writes("")))
    (tmp_path / "a.bin").write_text("mine")
    with pytest.raises(ValueError, match=r"would replace .*a\.bin"):
        export_model(small(), tmp_path / "a.xml", "openvino")
    assert (tmp_path / "a.bin").read_text() == "mine"


@pytest.mark.skipif(not hasattr(keras, "quantizers"), reason="this Keras has no int4")
def test_int4_is_refused_where_it_does_not_run(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.quantize("int4")
    monkeypatch.setitem(FORMATS["onnx"].writers, BACKEND, Writer(writes("")))
    with pytest.raises(ValueError, match="does not take models with int4"):
        export_model(model, tmp_path / "a.onnx", "onnx")


def writes(text, then=None):
    def write(model, path, images, **options):
        target = path if path.suffix else path / "saved_model.pb"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
        if then:
            raise then

    return write


@pytest.mark.parametrize("format", ["onnx", "tf_saved_model"])
def test_what_was_there_stays_until_the_new_is_whole(format, tmp_path, monkeypatch):
    path, writers = path_of(tmp_path / "made", format), FORMATS[format].writers

    def content():
        assert [made.name for made in path.parent.iterdir()] == [path.name]
        return (path / "saved_model.pb" if path.is_dir() else path).read_text()

    monkeypatch.setitem(writers, BACKEND, Writer(writes("old")))
    export_model(small(), path, format)
    assert content() == "old"
    monkeypatch.setitem(writers, BACKEND, Writer(writes("half", then=RuntimeError("full disk"))))
    with pytest.raises(RuntimeError, match="full disk"):
        export_model(small(), path, format)
    assert content() == "old"
    monkeypatch.setitem(writers, BACKEND, Writer(writes("new")))
    export_model(small(), path, format)
    assert content() == "new"


def test_verbose_lets_the_tools_speak(tmp_path, monkeypatch, capsys):
    def write(model, path, images, verbose):
        print(f"verbose={verbose}")
        warnings.warn("slow", stacklevel=1)
        path.write_text("")

    monkeypatch.setitem(FORMATS["onnx"].writers, BACKEND, Writer(write))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_model(small(), tmp_path / "a.onnx", "onnx")
    assert capsys.readouterr().out == ""
    with pytest.warns(UserWarning, match="slow"):
        export_model(small(), tmp_path / "a.onnx", "onnx", verbose=True)
    assert capsys.readouterr().out == "verbose=True\n"


def test_a_tool_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS["onnx"].writers, BACKEND, Writer(writes(""), ("no_such_tool",)))
    with pytest.raises(ImportError, match=r"Exporting ONNX under .* pip install no_such_tool"):
        export_model(small(), tmp_path / "a.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("a.onxx", "onnx", r"must end in .onnx, for format=\"onnx\". Received: .*a.onxx"),
        ("a.onnx", "openvino", "must end in .xml"),
        ("a.onnx", "tf_saved_model", "must be a folder, without the ending .onnx"),
        ("folder.onnx", "onnx", "must not be a folder"),
        ("full", "tf_saved_model", "a new or empty folder, or that of a SavedModel"),
        ("mixed", "tf_saved_model", "or that of a SavedModel without other files"),
        ("full/notes", "tf_saved_model", "a new or empty folder, or that of a SavedModel"),
        ("a.onnx", "pickle", "`format` must be one of 'tf_saved_model', 'onnx', .*'pickle'"),
    ],
)
def test_paths_and_formats_that_are_refused(name, format, message, tmp_path, monkeypatch):
    for known in FORMATS.values():  # the backend is not what is wrong
        monkeypatch.setitem(known.writers, BACKEND, Writer(writes("")))
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    (tmp_path / "mixed").mkdir()
    for mixed in ("saved_model.pb", "notes"):
        (tmp_path / "mixed" / mixed).write_text("mine")
    with pytest.raises(ValueError, match=message):
        export_model(small(), tmp_path / name, format)
    assert (tmp_path / "full" / "notes").read_text() == "mine"


def test_models_that_are_refused(tmp_path):
    two = keras.Input((3,)), keras.Input((3,))
    masked = keras_crate.CRATEMAE(24, 2, 3, input_shape=(16, 16, 3), patch_size=8)
    for model in (keras.Model(two, keras.layers.Add()(two)), masked, "crate.keras"):
        with pytest.raises(ValueError, match="must be a functional Keras model with one input and"):
            export_model(model, tmp_path / "a.onnx", "onnx")
