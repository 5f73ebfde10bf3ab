"""KerasHub's own checks of a model, on the models of the package."""

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub.models")
from keras_hub.src.tests import test_case

import keras_crate.keras_hub as ours

FAMILIES = ("CRATE", "CRATEAlpha", "CRATEMAE", "CBT")
SETTINGS = {"dim": 16, "depth": 1, "heads": 2, "patch_size": 8}
SHAPE = (32, 32, 3)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def harness():
    case = test_case.TestCase()
    keras.utils.set_random_seed(0)
    yield case
    case.tearDown()


def made(family: str, kind: str):
    return getattr(ours, family + kind)


def images(number: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (number, *SHAPE)).astype("float32")


def test_backbone(family, harness):
    harness.run_vision_backbone_test(
        cls=made(family, "Backbone"),
        init_kwargs={**SETTINGS, "image_shape": SHAPE},
        input_data=images(),
        expected_output_shape=(2, 17, 16),
        # Pixels are normalised, and tokens returned, in float32 under a mixed policy.
        run_mixed_precision_check=False,
        run_data_format_check=False,
    )


def task(family: str) -> dict:
    backbone = made(family, "Backbone")(**SETTINGS, image_shape=SHAPE)
    converter = made(family, "ImageConverter")(image_size=SHAPE[:2])
    preprocessor = made(family, "ImageClassifierPreprocessor")(converter)
    return {"backbone": backbone, "num_classes": 3, "preprocessor": preprocessor}


def test_task(family, harness):
    harness.run_task_test(
        cls=made(family, "ImageClassifier"),
        init_kwargs=task(family),
        train_data=(images(4), np.array([0, 2, 1, 2])),
        expected_output_shape=(4, 3),
    )


def test_saving(family, harness):
    init = {**SETTINGS, "image_shape": SHAPE}
    harness.run_model_saving_test(made(family, "Backbone"), init, images())
    harness.run_model_saving_test(made(family, "ImageClassifier"), task(family), images())
