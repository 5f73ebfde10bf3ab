"""benchmarks/distributed.py: its steps train on several devices, and what it writes."""

import json

import distributed
import pytest
from virtual_devices import needs_distribution, run_on_devices

PROGRAM = """
import json, sys
import distributed
from keras_crate import CRATE

def small(size, policy):
    return CRATE(
        24, 1, 2, input_shape=(224, 224, 3), patch_size=56, classes=1000, dtype=policy,
        include_preprocessing=False, classifier_activation=None, data_format="channels_last",
    )

distributed.make_model = small
distributed.machine = lambda: {"accelerator": "a GPU"}
words = ["--devices", "1", "2", "--layouts", "data", "model:2", "--batch", "2"]
distributed.main([*words, "--seconds", "0.01", "--dtype", "float32", "--output", sys.argv[1]])
"""


@needs_distribution
def test_a_small_run(tmp_path):
    printed = run_on_devices(2, PROGRAM, str(tmp_path))
    results = json.loads((tmp_path / "distributed_jax.json").read_text("utf8"))
    cases = [(row["layout"], row["devices"]) for row in results["rows"]]
    assert cases == [("data", 1), ("data", 2), ("model:2", 2)]
    assert all(row["images_per_second"] > 0 for row in results["rows"])
    assert results["rows"][0]["efficiency"] == 1
    assert "| `model:2` | 2 |" in printed


@pytest.mark.any_backend
def test_layouts():
    assert [distributed.parts_of(layout) for layout in ("data", "model:8")] == [1, 8]
    for layout in ("model", "model:1", "model:x", "auto"):
        with pytest.raises(ValueError, match=r"`layouts` must be data or model:N"):
            distributed.parts_of(layout)
