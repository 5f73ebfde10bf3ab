"""The edges of the constructors' arguments, against the equations in NumPy and float64."""

import keras
import numpy as np
import oracle_models
import pytest
from compare import assert_close
from disturb import disturb

from keras_crate import CBT, CRATE, CRATEMAE, CRATEAlpha

ANY_BACKEND = pytest.mark.any_backend
FAMILIES = {"crate": CRATE, "alpha": CRATEAlpha, "mae": CRATEMAE, "cbt": CBT}
SMALL = {"dim": 12, "depth": 1, "heads": 2, "input_shape": (8, 8, 3), "patch_size": 4}
LARGE = {"dim": 4, "heads": 1, "input_shape": (256, 256, 3)}

EDGES = {
    "one patch, one head": {"input_shape": (4, 4, 3), "heads": 1},
    "heads of width 3": {"heads": 4},
    "4,097 tokens": LARGE,
    "heads of width 1": {"heads": 12},
    "two blocks, registers, patches of two sizes": {
        "depth": 2, "registers": 2, "patch_size": (8, 2)
    },
    "channels first, not square": {"input_shape": (3, 8, 12), "data_format": "channels_first"},
    "two channels": {"input_shape": (8, 8, 2)},
    "statistics of one's own": {"mean": [0.1, 0.5, 0.9], "std": 2.0},
    "no preprocessing": {"include_preprocessing": False},
    "no penalty, a long step": {"penalty": 0.0, "step_size": 1.5},
    "patches of one pixel": {"input_shape": (4, 5, 1), "patch_size": 1},
    "the smallest": {"dim": 1, "heads": 1, "input_shape": (1, 1, 1), "patch_size": 1},
    "one class": {"classes": 1},
    "mean of all tokens": {"pooling": "avg"},
    "all tokens": {"pooling": None, "include_top": False},
}  # fmt: skip
REFUSED = {
    ("one patch, one head", "mae"): "`mask_ratio` must be .* with at least one patch hidden",
    ("the smallest", "mae"): "`mask_ratio` must be .* with at least one patch hidden",
    ("the smallest", "cbt"): "must be powers of 2, from 2",
    ("patches of one pixel", "cbt"): "must be powers of 2, from 2",
}
# Masked autoencoders have no labels, and the equation of CBSA in `oracle.py` no registers.
LEFT_OUT = {
    ("two blocks, registers, patches of two sizes", "cbt"),
    *((edge, "mae") for edge in ("one class", "mean of all tokens", "all tokens")),
}


def _on_all_backends(edge, family):
    if EDGES[edge] is LARGE:  # the others have the attention of CRATE
        return family in ("crate", "cbt")
    return edge in ("one patch, one head", "heads of width 3")


CASES = [
    pytest.param(edge, family, marks=() if _on_all_backends(edge, family) else ANY_BACKEND)
    for edge in EDGES
    for family in FAMILIES
    if (edge, family) not in LEFT_OUT
]


def build(family, **arguments):
    labels = {} if family == "mae" else {"classes": 3, "classifier_activation": None}
    return disturb(FAMILIES[family](**{**SMALL, **labels, **arguments}))


def pixels(model, batch=2):
    """Whole numbers, which all dtypes hold."""
    shape = (batch, *model.input_shape[1:])
    return np.random.default_rng(1).integers(0, 256, shape).astype("float32")


def compare(model, images, atol=2e-4, given=None):
    """`given` are the images as the model gets them, by default as they are."""
    given = images if given is None else given
    if isinstance(model, CRATEMAE):
        patches = model.get_layer("patch_noise").input.shape[1]
        noise = np.random.default_rng(2).uniform(size=(len(images), patches)).astype("float32")
        found = model.predict_with_noise(given, noise)["patches"]
        expected = oracle_models.outputs(model, images, noise)
    else:
        found, expected = (
            model.predict(given, verbose=0), oracle_models.outputs(model, images)
        )  # fmt: skip
    assert found.shape == expected.shape and found.dtype == "float32"
    assert_close(found, expected, atol=atol * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("edge", "family"), CASES)
def test_edges_of_arguments(edge, family):
    if (edge, family) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[edge, family]):
            build(family, **EDGES[edge])
        return
    model = build(family, **EDGES[edge])
    compare(model, pixels(model, 1 if EDGES[edge] is LARGE else 2))


@pytest.mark.parametrize(
    "family", ["crate", *(pytest.param(f, marks=ANY_BACKEND) for f in ("alpha", "mae", "cbt"))]
)
def test_batches_and_dtypes_of_images(family):
    model = build(family)
    images = pixels(model, 1)
    for dtype in ("uint8", "int32", "float16", "float64"):
        compare(model, images, given=images.astype(dtype))
    compare(model, images, given=keras.ops.convert_to_tensor(images))
    with pytest.raises(ValueError, match="at least one image"):
        model.predict(images[:0], verbose=0)
    if family != "mae":
        assert tuple(model(images[:0]).shape) == (0, 3)


@ANY_BACKEND
@pytest.mark.parametrize("family", ["crate", "alpha"])
def test_images_of_any_size(family):
    fixed = build(family)
    images = pixels(fixed)
    model = fixed.with_input_shape((None, None, 3))
    found = model.predict(images, verbose=0)
    assert_close(found, oracle_models.outputs(fixed, images), atol=2e-4)
    with pytest.raises(ValueError, match=r"height must be divisible.*height 6"):
        model.predict(images[:, :6], verbose=0)
