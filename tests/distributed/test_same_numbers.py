"""Several devices train as one does: the same history and weights, up to rounding."""

import json

import keras
import pytest
import training_cases
from training_cases import assert_equal
from training_processes import outputs, start, start_by_torchrun
from virtual_devices import CAN_DISTRIBUTE

BACKEND = keras.backend.backend()
NAMES = list(training_cases.CASES)
if BACKEND == "tensorflow":  # it refuses to accumulate
    NAMES = [name for name in NAMES if name not in ("accumulated", "prepared")]
# (distribute, processes, devices of each)
ENGINES = {
    "jax": [("data", 1, 4), ("model:2", 1, 4), ("data", 2, 2), ("model:4", 2, 2)],
    "tensorflow": [("data", 1, 2), ("data", 2, 1)],
    "torch": [("data", 2, 1)],
}[BACKEND]
if BACKEND == "jax" and not CAN_DISTRIBUTE:
    ENGINES = []
# In each engine, what differs most: moving averages and clipping; normalisation by the batch.
FAST = {
    ("jax", "data", 1): ["crate", "mae"],
    ("jax", "data", 2): ["crate"],
    # Losses of the model's own: tests/models/test_replicas.py.
    ("tensorflow", "data", 1): ["cbt"],
    ("tensorflow", "data", 2): ["crate"],
    ("torch", "data", 2): NAMES,
}


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory):
    """Function from a case and a pipeline to its numbers on one device."""
    known = {}

    def numbers(case, pipeline):
        if (case, pipeline) not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PIPELINE", pipeline)
                folder = tmp_path_factory.mktemp(f"one-{pipeline}")
                training_cases.make_files([case], folder)
                known[case, pipeline] = training_cases.train(case, folder, None)
        return known[case, pipeline]

    return numbers


def compared(cases, engine, on_one_device, folder):
    distribute, processes, devices = engine
    training_cases.make_files(cases, folder)
    words = [distribute, folder, *cases]
    if BACKEND == "torch":
        started = start_by_torchrun(words, processes)
    else:
        started = start(words, processes, devices)
    for process, output in zip(started, outputs(started), strict=True):
        assert process.returncode == 0, output
    pipeline = "tf.data" if (BACKEND, processes) == ("tensorflow", 2) else "pydataset"
    for case in cases:
        one = on_one_device(case, pipeline)
        for number in range(processes):
            found = json.loads((folder / f"{case}-{number}.json").read_text())
            assert_equal(found, one, case)


@pytest.mark.parametrize("engine", [e for e in ENGINES if (BACKEND, *e[:2]) in FAST], ids=str)
def test_several_devices_train_as_one(engine, on_one_device, tmp_path):
    compared(FAST[(BACKEND, *engine[:2])], engine, on_one_device, tmp_path)


OTHERS = {e: [n for n in NAMES if n not in FAST.get((BACKEND, *e[:2]), [])] for e in ENGINES}

if BACKEND == "jax" and ENGINES:  # one replica: each process needs whole batches
    OTHERS["model:4", 2, 2].remove("prepared")


@pytest.mark.slow
@pytest.mark.parametrize("engine", [e for e in ENGINES if OTHERS[e]], ids=str)
def test_each_family_trains_as_on_one_device(engine, on_one_device, tmp_path):
    compared(OTHERS[engine], engine, on_one_device, tmp_path)
