"""benchmarks/training_cost.py: recipes, operations and measured throughput become costs."""

import json

import pytest
import training_cost

from keras_crate.weights.sizes import SIZES

pytestmark = pytest.mark.any_backend


def _rows(files):
    rows = [line.strip("| ").split(" | ") for line in training_cost.cost_table(files).splitlines()]
    return {(name.strip("`"), recipe.strip("`")): rest for name, recipe, *rest in rows[2:]}


def test_every_size_has_its_cost():
    rows = _rows([])
    assert {name for name, _ in rows} == set(SIZES)
    assert {row[-1] for row in rows.values()} == {"not measured"}
    # 1,281,167 x 150 images, three passes of 5.0 billion multiplications.
    assert rows["CRATEBase", "imagenet1k-paper"][:-1] == ["1,281,167 x 150", "2,048", "5.0", "2.89"]
    assert rows["CRATEMAEBase", "imagenet1k-mae"][0] == "1,281,167 x 800"
    assert ("CBTTiny", "imagenet1k-cbt") in rows
    assert ("CRATEAlphaHuge", "imagenet21k-alpha") in rows


def test_hours_are_those_of_the_fastest_measurement(tmp_path):
    entry = {
        "model": "CRATEBase", "backend": "jax", "dtype": "mixed_bfloat16", "batch": 256,
        "images_per_second_training": 1000.0, "device": "a GPU",
    }  # fmt: skip
    slower = {**entry, "backend": "torch", "images_per_second_training": 900.0}
    inference = {**entry, "model": "CRATETiny"}
    del inference["images_per_second_training"]
    file = tmp_path / "throughput_gpu.json"
    file.write_text(json.dumps([slower, entry, inference]))
    rows = _rows([file])
    expected = "53 (1,000 images/s; a GPU, jax, mixed_bfloat16, batch 256)"
    assert rows["CRATEBase", "imagenet1k-paper"][-1] == expected
    assert rows["CRATETiny", "imagenet1k-paper"][-1] == "not measured"
