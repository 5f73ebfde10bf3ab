import re

import numpy as np
import pytest
import yaml

import keras_crate
from keras_crate.evaluation import Evaluation
from keras_crate.hub.card import model_card
from keras_crate.hub.published import Published

pytestmark = pytest.mark.any_backend

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8}


def _card(model, files=(), **published):
    text = str(model_card(model, Published("hf://user/small", **published), None, set(files)))
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), body


def _model(family=keras_crate.CRATE, **settings):
    return family(24, 1, 2, **{**SMALL, **settings})


def _sections(body):
    return dict(re.findall(r"^## (.*?)\n\n(.*?)(?=\n\n## |\Z)", body, re.DOTALL | re.MULTILINE))


def test_what_a_user_needs():
    model = _model(classes=2, class_names=["cat", "dog"])
    _, body = _card(model, dataset="pets", metrics={"accuracy": 0.9})
    sections = _sections(body)
    assert list(sections) == [
        "Intended use and limits",
        "Install",
        "Use",
        "Use with Keras' own function",
        "Classes",
        "Results",
        "Training",
        "Papers",
    ]
    assert 'pip install ".[jax]"' in sections["Install"]
    assert keras_crate.__version__ in sections["Install"]
    assert "0 cat\n1 dog" in sections["Classes"]
    assert "probabilities of 2 classes" in sections["Intended use and limits"]
    assert "images of pets" in sections["Intended use and limits"]
    assert "keras-crate predict hf://user/small photograph.jpg" in sections["Use"]
    assert sections["Training"] == "- data: pets"
    assert "$" not in body and "None" not in body


def test_numbers_are_numbers():
    metadata, body = _card(
        _model(),
        dataset="pets",
        metrics={"accuracy": np.float32(0.9), "images": 90},
        training={"epochs": np.int64(3), "rate": np.float32(1e-3), "by": "fit", "sizes": [1, 2]},
    )
    values = [metric["value"] for metric in metadata["model-index"][0]["results"][0]["metrics"]]
    assert [type(value) for value in values] == [float, float]
    assert values == pytest.approx([0.9, 90])
    assert _sections(body)["Training"] == (
        "- data: pets\n- epochs: 3\n- rate: 0.001\n- by: fit\n- sizes: [1, 2]"
    )


def test_how_images_were_prepared():
    stated = {"dataset": "pets", "metrics": {"accuracy": 0.9}}
    assert "prepared was not stated" in _card(_model(), **stated)[1]
    evaluation = Evaluation(size=(16, 16), resize=18)
    body = _card(_model(), evaluation=evaluation, **stated)[1]
    assert f"prepared as follows: {evaluation}." in body
    assert "keras-crate evaluate hf://user/small FOLDER" in body


def test_many_classes_are_not_listed():
    model = _model(classes=21, class_names=[f"class {k}" for k in range(21)])
    assert "21 classes. `model.class_names`" in _sections(_card(model)[1])["Classes"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classifier_activation": "sigmoid", "classes": 3}, "3 probabilities, one for each label"),
        ({"classifier_activation": None, "classes": 3}, "3 numbers for each image"),
        ({"include_top": False}, "features of images, not classes"),
    ],
)
def test_outputs_that_are_not_one_class(settings, words):
    limits = _sections(_card(_model(**settings))[1])["Intended use and limits"]
    assert words in limits and "stated no results" in limits


def test_no_command_for_images_that_files_do_not_have():
    names = ["a", "b"]
    many = _model(input_shape=(16, 16, 13), classes=2, class_names=names)
    assert "photograph.jpg" not in _card(many)[1]
    first = {"input_shape": (3, 16, 16), "data_format": "channels_first"}
    assert "photograph.jpg" in _card(_model(classes=2, class_names=names, **first))[1]


@pytest.mark.parametrize(
    ("model", "papers"),
    [
        (_model, {"yu2023white"}),
        (lambda: _model(compress="tssa"), {"yu2023white", "wu2025token"}),
        (lambda: _model(compress="cbsa"), {"yu2023white", "wen2025towards"}),
        (lambda: _model(keras_crate.CBT), {"yu2023white", "wen2025towards"}),
        (lambda: _model(keras_crate.CRATEAlpha), {"yu2023white", "yang2024scaling"}),
        (lambda: keras_crate.CRATEMAE(24, 1, 2, **SMALL), {"yu2023white", "pai2024masked"}),
    ],
)
def test_papers(model, papers):
    section = _sections(_card(model())[1])["Papers"]
    assert set(re.findall(r"@inproceedings\{(\w+)", section)) == papers
    assert section.count("](https://arxiv.org/abs/") == len(papers)
    assert section.count("[the authors' code](https://github.com/") == len(papers)
