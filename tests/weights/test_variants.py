import contextlib
import inspect
import math
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from authors import parameters_of
from marks import needs

import keras_crate
from keras_crate.evaluation import Evaluation
from keras_crate.hub import list_weights
from keras_crate.hub.open_model import open_model
from keras_crate.models.fingerprint import fingerprint
from keras_crate.models.load import build
from keras_crate.models.settings import IMAGENET_MEAN, IMAGENET_STD
from keras_crate.training import list_recipes
from keras_crate.weights import find, layout, layouts, tensor_files
from keras_crate.weights.sizes import SIZES
from keras_crate.weights.variants import LOADS, STATES, lookup, variant_named, variants

PUBLISHED = {  # the checkpoints that exist, where a program can fetch them
    "crate_alpha_base_imagenet21k_imagenet": "torch/crate_alpha_B16.pth",
    "crate_alpha_large_imagenet21k_imagenet": "torch/crate_alpha_L14.pth",
    "crate_alpha_base_8_imagenet21k_imagenet": "jax/crate_alpha_B8_in1k.npz",
    "crate_alpha_large_8_imagenet21k_imagenet": "jax/crate_alpha_L8_in1k.npz",
    "crate_alpha_base_imagenet21k": "torch/in21k_Pretrain/crate_alpha_B16_IN21K",
    "crate_alpha_base_8_imagenet21k": "torch/in21k_Pretrain/crate_alpha_B8_IN21K",
    "crate_alpha_base_32_imagenet21k": "torch/in21k_Pretrain/crate_alpha_B32_in21k.pth",
    "crate_alpha_large_imagenet21k": "torch/in21k_Pretrain/crate_alpha_L14_IN21K",
    "crate_alpha_large_8_imagenet21k": "torch/in21k_Pretrain/crate_alpha_L8_IN21K",
    "crate_alpha_large_32_imagenet21k": "torch/in21k_Pretrain/crate_alpha_L32_in21k.pth",
    "crate_alpha_large_datacomp1b": "torch/crate_alpha_CLIPA_L14.pth",
    "crate_alpha_huge_datacomp1b": "torch/crate_alpha_CLIPA_H14.pth",
}
BY_HAND = {
    "cbt_tiny_imagenet",
    "cbt_small_imagenet",
    "cbt_base_imagenet",
    "cbt_large_imagenet",
    "crate_small_imagenet",
    "crate_base_8_heads_6_imagenet21k",
    "crate_base_8_imagenet21k",
    "crate_tiny_8_imagenet21k",
    "crate_mae_base_imagenet",
}


@pytest.mark.any_backend
def test_every_checkpoint_has_its_entry():
    found = {v.name: v for v in variants().values() if v.state == "published"}
    assert {name: variant.file for name, variant in found.items()} == PUBLISHED
    assert {variant.repository for variant in found.values()} == {"UCSC-VLAA/CRATE-alpha"}
    assert {v.name for v in variants().values() if v.state == "by hand"} == BY_HAND


@pytest.mark.any_backend
def test_forms_that_need_no_pytorch():
    found = {v.name: v.file_without_pytorch for v in variants().values()}
    assert {name: path for name, path in found.items() if path} == {
        "crate_alpha_base_imagenet21k_imagenet": "jax/crate_alpha_B16_in1k.npz",
        "crate_alpha_large_imagenet21k_imagenet": "jax/crate_alpha_L14_in1k.npz",
    }


@pytest.mark.any_backend
def test_every_size_has_what_nobody_published():
    for size in ("tiny", "small", "base", "large"):
        for data in ("cifar10", "cifar100", "oxford_flowers102", "oxford_iiit_pet"):
            variant = variants()[f"crate_{size}_{data}"]
            assert (variant.weights, variant.state) == ((data,), "unpublished")
        assert variants()[f"crate_{size}_imagenet"].weights == ("imagenet",)


@pytest.mark.any_backend
def test_every_entry_is_complete():
    for name, variant in variants().items():
        assert variant.state in STATES
        assert variant.paper.startswith("arXiv:"), name
        assert (variant.licence is not None) == (variant.state != "unpublished"), name
        assert (variant.repository is not None) == (variant.state == "published"), name
        assert (variant.source is not None) == (variant.state in ("shipped", "by hand")), name
        assert variant.shipped_file.is_file() == (variant.state == "shipped"), name
        assert variant.recipe is None or variant.recipe in list_recipes()
        evaluation = Evaluation.from_dict(variant.evaluation)
        if variant.state == "shipped":
            continue
        assert variant.measured is None  # the authors' weights were not measured
        assert (evaluation.mean, evaluation.std) == (IMAGENET_MEAN, IMAGENET_STD)
        assert evaluation.size == (224, 224)
        if variant.recipe == f"{variant.weights[0]}-paper":  # fine-tuned
            assert evaluation.resize == (224, 224)


@pytest.mark.any_backend
def test_reported_accuracies():
    """Those of the papers' tables."""
    found = {v.name: v.top1 for v in variants().values() if "imagenet" in v.weights}
    found = {name: top1 for name, top1 in found.items() if top1 is not None}
    assert found == {
        "crate_tiny_imagenet": 66.7,
        "crate_small_imagenet": 69.2,
        "crate_base_imagenet": 70.8,
        "crate_large_imagenet": 71.3,
        "cbt_tiny_imagenet": 63.2,
        "cbt_small_imagenet": 71.4,
        "cbt_base_imagenet": 73.4,
        "cbt_large_imagenet": 74.4,
        "crate_alpha_base_8_imagenet21k_imagenet": 83.2,
        "crate_alpha_base_imagenet21k_imagenet": 81.2,
        "crate_alpha_base_32_imagenet21k_imagenet": 76.5,
        "crate_alpha_large_8_imagenet21k_imagenet": 85.1,
        "crate_alpha_large_imagenet21k_imagenet": 83.9,
        "crate_alpha_large_32_imagenet21k_imagenet": 80.2,
    }


@pytest.mark.any_backend
def test_outputs_that_are_not_classes():
    from keras_crate.hub.open_model import open_classifier

    others = [v for v in variants().values() if v.state != "shipped"]
    embeddings = {v.name for v in others if not v.classifies}
    assert embeddings == {
        "crate_alpha_large_datacomp1b",
        "crate_alpha_huge_datacomp1b",
        "crate_base_8_imagenet21k",
        "crate_base_8_heads_6_imagenet21k",
        "crate_mae_base_imagenet",
    }
    for name in embeddings:
        with pytest.raises(ValueError, match=f"outputs of {name} are not classes"):
            open_classifier(name)
    listed = {row.variant: row.top1 for row in list_weights()}
    assert listed["crate_alpha_huge_datacomp1b"] is None  # its accuracy is zero-shot


@pytest.mark.any_backend
def test_parameters():
    """Counted by the layout, which the golden checkpoints' shapes confirm."""
    by_family = {
        "CRATE": layouts._crate,
        "CRATEAlpha": layouts._alpha,
        "CRATEMAE": layouts._mae,
        "CBT": layouts._cbt,
    }
    for variant in variants().values():
        if variant.state == "shipped":  # counted in the model itself, by test_shipped.py
            continue
        family, dim, depth, heads, patch, _ = variant.architecture
        arguments = variant.arguments
        top = arguments.get("include_top", True)
        classes = arguments.get("classes", 1000) if top else None
        rows, columns, channels = arguments.get("input_shape", (224, 224, 3))
        size = layout.Dimensions(
            dim=dim,
            depth=depth,
            pixels=math.prod(patch) * channels,
            positions=1 + rows // patch[0] * (columns // patch[1]),
            classes=classes,
            patch=(*patch, channels),
            heads=heads,
        )
        entries = [e for e in by_family[family](size) if "/moving_" not in e.path]
        count = sum(math.prod(entry.shape) for entry in entries)
        assert count == variant.parameters, variant.name


@pytest.mark.any_backend
def test_the_shipped_model_is_what_it_says():
    from keras_crate.data import open_data

    variant = variant_named("crate_demo_mnist")
    model = keras_crate.load("crate_demo_mnist")
    with pytest.warns(UserWarning, match="no head for this model's 4 classes"):
        assert keras_crate.load("crate_demo_mnist", classes=4).class_names is None
    assert keras_crate.load("crate_demo_mnist", classes=10).class_names == model.class_names
    assert model.count_params() == variant.parameters
    digits = open_data("mnist5k").validation
    accuracy = (model.predict(digits.images, verbose=0).argmax(axis=1) == digits.labels).mean()
    assert 100 * accuracy == pytest.approx(variant.measured, abs=0.11)
    images = digits.images[:8]
    assert keras_crate.decode_predictions(model.predict(images, verbose=0), model, top=1)
    assert Evaluation.for_model(model) == Evaluation(
        (28, 28), (28, 28), mean=variant.arguments["mean"], std=variant.arguments["std"]
    )
    same = keras_crate.CRATE(
        128, 4, 4, patch_size=7, input_shape=(28, 28, 1), classes=10, weights="mnist"
    )
    assert same.settings.evaluation == model.settings.evaluation
    np.testing.assert_array_equal(same.predict(images, verbose=0), model.predict(images, verbose=0))


@pytest.mark.any_backend
def test_variants_have_one_name_in_python_and_in_the_shell():
    assert lookup("mnist") is lookup("crate_demo_mnist") is variants()["crate_demo_mnist"]
    assert keras_crate.load("mnist", weights=None).name == "crate_demo_mnist"
    assert open_model("mnist")[0].class_names[3] == "3"
    assert lookup("mnits") is None
    with pytest.raises(
        ValueError, match=r"'imagenet' is the name of \d+ variants: .*, \.\.\. Give"
    ):
        lookup("imagenet")


@pytest.mark.any_backend
def test_the_list():
    rows = list_weights()
    assert [row.variant for row in rows] == list(variants())
    row = next(row for row in rows if row.variant == "crate_alpha_base_8_imagenet21k_imagenet")
    assert row.call == 'keras_crate.CRATEAlphaBase(patch_size=8, weights="imagenet21k-imagenet")'
    assert (row.top1, row.measured, row.state) == (83.2, None, "published")
    table = str(rows)
    for row in rows:
        [line] = [line for line in table.splitlines() if line.split("  ")[0].strip() == row.variant]
        assert row.loads in line
        assert line.endswith("yes" if row.cached else "no")
    assert "reported by the authors" in table


@pytest.mark.any_backend
def test_every_call_makes_a_model_of_its_entry():
    """The Python line of an entry, without the weights and with small images."""
    for variant in variants().values():
        if variant.state == "shipped" or variant.architecture.dim > 384:
            continue
        built = build(variant, weights=None, input_shape=(32, 32, 3))
        assert type(built).__name__ == variant.architecture.family
        assert built.settings.heads == variant.architecture.heads
        assert re.fullmatch(r"keras_crate\.\w+\(.*weights=\"[\w-]+\"\)", variant.call())


@pytest.mark.any_backend
def test_constructors_have_the_published_sizes():
    for constructor, size in SIZES.items():
        make = getattr(keras_crate, constructor)
        assert inspect.signature(make).parameters["patch_size"].default == size.patch
        if size.parameters < 200_000_000:  # the others take gigabytes
            model = make()
            assert parameters_of(model) == size.parameters
            s = model.settings
            assert (s.dim, s.depth, s.heads, s.patch_size[0]) == size[:4]


@pytest.mark.any_backend
@pytest.mark.parametrize("has_pytorch", [pytest.param(True, marks=needs("torch")), False])
def test_every_variant_loads_from_where_the_table_says(has_pytorch, monkeypatch):
    def needed(package, why):
        if not has_pytorch:
            raise ImportError(f"{why} {package}")
        return contextlib.nullcontext()

    asked = []
    monkeypatch.setattr(find, "_has_pytorch", lambda: has_pytorch)
    monkeypatch.setattr(tensor_files, "needed", needed)
    monkeypatch.setattr(find, "download_file", lambda *file: asked.append(file) or Path("x"))
    for variant in variants().values():
        if variant.loads == "from the Hub, with PyTorch" and not has_pytorch:
            with pytest.raises(ImportError, match="a file of PyTorch"):
                find.fetch(variant)
        elif variant.loads in ("by hand", "nowhere"):
            way = (
                "convert FILE" if variant.loads == "by hand" else "keras-crate (pretrain|finetune)"
            )
            with pytest.raises(FileNotFoundError, match=way):
                find.fetch(variant)
        elif variant.loads == "with no network":
            assert find.fetch(variant).source.is_file()
        else:
            find.fetch(variant)
            address, file, _ = asked.pop()
            assert (str(address), file) == (
                "hf://UCSC-VLAA/CRATE-alpha",
                variant.file if has_pytorch else variant.file_without_pytorch or variant.file,
            )
        assert not asked
    assert {v.loads for v in variants().values()} == {*LOADS.values(), "from the Hub, with PyTorch"}


def test_a_fingerprint_is_the_same_everywhere():
    found = keras_crate.hub.verify("crate_demo_mnist")
    assert found.weights == "59b9952d5955673f15790ff68e0a22065d7eec2a681507e9b9e2b57fab009158"
    assert found.outputs == pytest.approx((0.0101, 0.0045, 0.0067, 0.0073, 0.9279), abs=1e-4)
    assert found.likeliest[0][0] == "4"
    assert "accuracy     not measured" in str(found)
    keras.config.set_image_data_format("channels_first")
    if keras.backend.backend() != "tensorflow":  # which has no such products on a CPU
        first = keras_crate.hub.verify("crate_demo_mnist")
        assert first.outputs == pytest.approx(found.outputs, abs=1e-4)
    keras.config.set_image_data_format("channels_last")
    model = keras_crate.load("crate_demo_mnist")
    gamma = model.get_layer("head_norm").gamma
    gamma.assign(keras.ops.add(gamma, 1e-6))
    assert fingerprint(model) != found.weights
