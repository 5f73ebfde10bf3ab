"""benchmarks/scaling.py: the formulas agree with the training steps that XLA compiles."""

import json

import pytest
import scaling
from virtual_devices import needs_distribution, run_on_devices

from keras_crate import CRATE, CRATEAlpha
from keras_crate.weights.sizes import SIZES, family_of

PROGRAM = """
import json, sys
import keras
from compiled_step import compiled_step
from keras_crate import CRATE, CRATEAlpha
from keras_crate.training import layout_map

def measured(family, dim, depth, heads, side, parts, data, batch):
    distribution = None
    if parts * data > 1:
        devices = keras.distribution.list_devices()[: parts * data]
        mesh = keras.distribution.DeviceMesh((data, parts), ["batch", "model"], devices)
        layout = layout_map(mesh)
        distribution = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    keras.distribution.set_distribution(distribution)
    make = {"CRATE": CRATE, "CRATEAlpha": CRATEAlpha}[family]
    model = make(dim, depth, heads, input_shape=(side, side, 3), patch_size=8, classes=10)
    model.compile(keras.optimizers.AdamW(), "sparse_categorical_crossentropy")
    step = compiled_step(model, batch, distribution)
    keras.distribution.set_distribution(None)
    return {**step._asdict(), "parameters": model.count_params()}

for case in json.loads(sys.argv[1]):
    print(json.dumps(measured(*case)), flush=True)
"""


def compiled(cases):
    printed = run_on_devices(8, PROGRAM, json.dumps(cases)).splitlines()
    return [json.loads(line) for line in printed if line.startswith("{")]


ADAMW = scaling.SLOTS["adamw"]


@needs_distribution
def test_bytes_that_are_sent_and_bytes_of_the_state():
    cases = [
        [family, 64, 2, 4, 32, parts, 8 // parts, 64]
        for family in ("CRATE", "CRATEAlpha")
        for parts in (1, 4)
    ]
    for (family, dim, depth, heads, side, parts, data, batch), found in zip(
        cases, compiled(cases), strict=True
    ):
        net = scaling.Network(family, dim, depth, heads, (side // 8) ** 2 + 1, found["parameters"])
        images = batch / data
        reduced, gathered = scaling.gradient_bytes(net, parts), 0.0
        if parts > 1:
            reduced += scaling.reduced_bytes(net, images, scaling.FLOAT32)
            gathered = scaling.gathered_bytes(net, images, scaling.FLOAT32)
        exact = {"rel": 0.002 if parts == 1 else 0.05}  # LayerNormalization's sums are left out
        assert found["sent"]["all-reduce"] == pytest.approx(reduced, **exact)
        assert found["sent"].get("all-gather", 0) == pytest.approx(gathered, rel=0.05, abs=3e4)
        others = sum(found["sent"].values()) - sum(
            found["sent"].get(kind, 0) for kind in ("all-reduce", "all-gather")
        )
        assert others < 0.01 * reduced
        state = scaling.state_bytes(net, parts, ADAMW) + images * (side * side * 3 + 1) * 4
        assert found["arguments"] == pytest.approx(state, abs=64)


@pytest.mark.slow
@needs_distribution
@pytest.mark.parametrize("family, dim", [("CRATE", 128), ("CRATEAlpha", 128)])
def test_activations(family, dim):
    """By the difference between 16 and 32 images, and that between 1 and 3 blocks."""
    for parts in (1, 2, 4):
        cases = [
            [family, dim, depth, 4, 64, parts, 1, batch] for depth in (1, 3) for batch in (16, 32)
        ]
        few, more, few_deep, more_deep = (found["temporary"] for found in compiled(cases))
        net = scaling.Network(family, dim, 2, 4, 65, 0)
        kept = scaling.kept_bytes(net, 16, parts, scaling.FLOAT32)
        tolerance = 0.03 if parts == 1 else 0.15
        assert (more_deep - few_deep) - (more - few) == pytest.approx(kept, rel=tolerance), parts


@needs_distribution  # for `keras.RematScope`
@pytest.mark.parametrize("make", [CRATE, CRATEAlpha])
def test_activations_of_rematerialised_blocks(make):
    from compiled_step import kept_numbers

    def kept(depth, batch):
        size = {"input_shape": (32, 32, 3), "patch_size": 8, "classes": 10}
        return kept_numbers(make(64, depth, 4, **size, rematerialise=True), batch)

    a_block = (kept(2, 4) - kept(2, 2) - kept(1, 4) + kept(1, 2)) / 2
    assert a_block == pytest.approx(scaling.REMATERIALISED * 17 * 64, rel=0.05)


@pytest.mark.any_backend
def test_operators_weights_of_the_published_sizes():
    for size in SIZES:
        if family_of(size) in scaling.BLOCKS:
            net = scaling.network(size)
            others = scaling.weights_of_chip(net, 10**9)
            assert 0 < others < 0.2 * net.parameters  # stem, positions, head, norms
            assert scaling.weights_of_chip(net) == net.parameters


@pytest.mark.any_backend
def test_what_a_step_sends():
    net = scaling.Network("CRATE", 64, 2, 4, 17, 100_000)
    assert scaling.gradient_bytes(net) == 400_000
    assert scaling.ring(4) == 0.75
    step = scaling.training_step("CRATELarge", scaling.CHIPS["TPU v5e"], 256, 4096)
    assert step.images == 16
    assert step.sent == 2 * 255 / 256 * 4 * SIZES["CRATELarge"].parameters
    divided = scaling.training_step("CRATELarge", scaling.CHIPS["TPU v5e"], 256, 4096, parts=8)
    assert divided.computing == step.computing
    assert divided.state < step.state / 5
    assert divided.efficiency < step.efficiency < 1


@pytest.mark.any_backend
def test_the_script_prints_the_table(capsys):
    scaling.main(["--sizes", "CRATEBase", "--chips", "8", "--batch", "256", "--layouts", "1", "2"])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + 2 * len(scaling.CHIPS)
    assert {row.split("|")[3].strip() for row in rows[2:]} == {"`data`", "`model:2`"}


@pytest.mark.any_backend
def test_no_published_size_needs_divided_weights():
    for size in SIZES:
        if family_of(size) in scaling.BLOCKS:
            net = scaling.network(size)
            needed = scaling.state_bytes(net, slots=ADAMW, ema=True) + scaling.step_bytes(net)
            needed += scaling.rematerialised_bytes(net, 1)
            assert needed < 0.9 * scaling.CHIPS["TPU v5e"].memory
