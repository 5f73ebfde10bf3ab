import json
import math
import re

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.hub import layouts, list_weights
from keras_crate.hub.card import variant_card
from keras_crate.weights.variants import STATES, arrival_record, is_cached, variant_named, variants
from keras_crate.models.graph import IMAGENET_MEAN, IMAGENET_STD
from keras_crate.models.sizes import SIZES

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
    "crate_small_imagenet",
    "crate_base_8_heads_6_imagenet21k",
    "crate_base_8_imagenet21k",
    "crate_tiny_8_imagenet21k",
    "crate_mae_base_imagenet",
}


def test_every_checkpoint_has_its_entry():
    found = {v.name: v.provenance["files"] for v in variants().values() if v.state == "published"}
    assert {name: files["path"] for name, files in found.items()} == PUBLISHED
    assert {files["repository"] for files in found.values()} == {"UCSC-VLAA/CRATE-alpha"}
    assert {v.name for v in variants().values() if v.state == "by hand"} == BY_HAND


def test_forms_that_need_no_pytorch():
    found = {v.name: v.provenance["files"].get("without_pytorch") for v in variants().values()}
    assert {name: path for name, path in found.items() if path} == {
        "crate_alpha_base_imagenet21k_imagenet": "jax/crate_alpha_B16_in1k.npz",
        "crate_alpha_large_imagenet21k_imagenet": "jax/crate_alpha_L14_in1k.npz",
    }


def test_every_size_has_what_nobody_published():
    for size in ("tiny", "small", "base", "large"):
        for data in ("cifar10", "cifar100", "oxford_flowers102", "oxford_iiit_pet"):
            variant = variants()[f"crate_{size}_{data}"]
            assert (variant.weights, variant.state) == (data, "unpublished")
        assert variants()[f"crate_{size}_imagenet"].weights == "imagenet"


@pytest.mark.parametrize("name", variants())
def test_an_entry_is_complete(name):
    variant = variants()[name]
    about = variant.provenance
    assert about["state"] in STATES
    assert about["data"] and about["paper"].startswith("arXiv:")
    assert about["accuracy"].keys() == {"metric", "dataset", "reported", "measured"}
    has_source = all(about[k] for k in ("source", "form", "licence"))
    assert has_source == (about["state"] != "unpublished")
    if name != "crate_demo_mnist":
        assert about["accuracy"]["measured"] is None  # nobody here has measured it
        assert variant.evaluation.mean == IMAGENET_MEAN
        assert variant.evaluation.std == IMAGENET_STD
        assert variant.evaluation.size == (224, 224)
    fine_tuned = variant.weights in ("cifar10", "cifar100", "oxford_flowers102", "oxford_iiit_pet")
    if fine_tuned:
        assert variant.evaluation.resize == (224, 224)
    assert (variant.folder / "README.md").read_text("utf8") == variant_card(variant), (
        "the card is made by keras_crate.hub.card.variant_card"
    )


def test_accuracies_are_those_of_the_sizes():
    for variant in variants().values():
        size = SIZES.get(variant.constructor)
        reported = variant.provenance["accuracy"]["reported"]
        if size and variant.weights in ("imagenet", "imagenet21k-imagenet"):
            assert reported == size.top1.get(variant.architecture[-1][0])


def test_outputs_that_are_no_classes():
    from keras_crate.hub.open_model import open_classifier

    embeddings = {v.name for v in variants().values() if not v.classifies}
    assert embeddings == {
        "crate_alpha_large_datacomp1b",
        "crate_alpha_huge_datacomp1b",
        "crate_base_8_imagenet21k",
        "crate_base_8_heads_6_imagenet21k",
        "crate_mae_base_imagenet",
    }
    for name in embeddings:
        assert "image-feature-extraction" in (variants()[name].folder / "README.md").read_text()
        with pytest.raises(ValueError, match=f"outputs of {name} are no classes"):
            open_classifier(name)
    listed = {row.variant: row.top1 for row in list_weights()}
    assert listed["crate_alpha_huge_datacomp1b"] is None  # its accuracy is of another kind


@pytest.mark.parametrize("name", variants())
def test_parameters(name):
    """Counted by the layout, which the golden checkpoints' shapes confirm."""
    variant = variants()[name]
    family, dim, depth, _, patch = variant.architecture
    arguments = variant.arguments
    top = arguments.get("include_top", True)
    classes = arguments.get("classes", 1000) if top else None
    rows, columns, channels = arguments.get("input_shape", (224, 224, 3))
    pixels = math.prod(patch) * channels
    size = layouts.Dimensions(
        dim=dim,
        depth=depth,
        pixels=pixels,
        positions=1 + rows // patch[0] * (columns // patch[1]),
        classes=classes,
        patch=(*patch, channels),
    )
    entries = {"CRATE": layouts._crate, "CRATEAlpha": layouts._alpha, "CRATEMAE": layouts._mae}
    count = sum(math.prod(entry.shape) for entry in entries[family](size))
    assert count == variant.provenance["parameters"]


def test_the_shipped_model_is_what_it_says():
    from keras_crate.data import load

    variant = variant_named("crate_demo_mnist")
    model = variant.build()
    assert model.count_params() == variant.provenance["parameters"]
    images, labels = load("mnist5k").test
    accuracy = (model.predict(images, verbose=0).argmax(axis=1) == labels).mean()
    assert 100 * accuracy == pytest.approx(variant.provenance["accuracy"]["measured"], abs=0.11)
    assert keras_crate.decode_predictions(model.predict(images[:1], verbose=0), model, top=1)
    assert model.settings.mean == list(variant.evaluation.mean)
    same = keras_crate.CRATE(
        128, 4, 4, patch_size=7, input_shape=(28, 28, 1), classes=10, weights="mnist"
    )
    np.testing.assert_array_equal(
        same.predict(images[:8], verbose=0), model.predict(images[:8], verbose=0)
    )


def test_the_list():
    rows = list_weights()
    assert [row.variant for row in rows] == list(variants())
    row = next(row for row in rows if row.variant == "crate_alpha_base_8_imagenet21k_imagenet")
    assert row.call == 'keras_crate.CRATEAlphaBase(patch_size=8, weights="imagenet21k-imagenet")'
    assert (row.top1, row.measured, row.state) == (83.2, None, "published")
    table = str(rows)
    for row in rows:
        [line] = [line for line in table.splitlines() if line.split("  ")[0].strip() == row.variant]
        assert row.state in line
        assert line.endswith("yes" if row.cached else "no")
    assert "reported by the authors" in table


def test_every_call_makes_a_model_of_its_entry():
    """The Python line of an entry, without the weights and on small images."""
    for variant in variants().values():
        if variant.state == "shipped" or variant.architecture[1] > 384:
            continue
        built = variant.build(weights=None, input_shape=(32, 32, 3))
        assert type(built).__name__ == variant.architecture[0]
        assert built.settings.heads == variant.architecture[3]
        assert re.fullmatch(r"keras_crate\.\w+\(.*weights=\"[\w-]+\"\)", variant.call())


def test_an_unknown_name():
    with pytest.raises(
        ValueError, match=r"no variant 'crate_bas_imagenet'. Did you mean crate_base"
    ):
        variant_named("crate_bas_imagenet")


def test_what_is_cached(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_CRATE_CACHE", str(tmp_path))
    variant = variant_named("crate_base_imagenet")
    assert not is_cached(variant)
    record = arrival_record(variant, "hf://keras-crate/none")
    assert tmp_path in record.parents
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"source": "hf://keras-crate/none", "commit": "0" * 40}))
    assert not is_cached(variant)  # the record alone is no model
    assert is_cached(variant_named("crate_demo_mnist"))


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
    model = variant_named("crate_demo_mnist").build()
    gamma = model.get_layer("head_norm").gamma
    gamma.assign(keras.ops.add(gamma, 1e-6))
    assert keras_crate.hub.verify.__globals__["fingerprint"](model) != found.weights
