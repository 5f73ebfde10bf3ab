"""A process of a training is killed: the others name it, and a restart gives the same numbers."""

import keras
import pytest
import training_cases
from training_cases import assert_equal
from training_processes import outputs, start
from virtual_devices import CAN_DISTRIBUTE

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(
    BACKEND == "jax" and not CAN_DISTRIBUTE, reason="`distribute` needs a newer Keras under JAX"
)
PIPELINE = "tf.data" if BACKEND == "tensorflow" else "pydataset"


def kill(folder, number: int, epoch: int, moment: str) -> None:
    """Trains with two processes, one of which kills itself."""
    started = start(["data", folder, "crate"], 2, KILL=f"{number} {epoch} {moment}")
    printed = outputs(started)
    assert started[number].returncode == -9, printed[number]
    other = 1 - number
    assert started[other].returncode not in (0, -9), printed[other]
    # JAX and TensorFlow may end the process themselves, and call processes tasks.
    assert (
        f"Process {number} of 2 has ended" in printed[other] or f"task:{number}" in printed[other]
    ), printed[other]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE", PIPELINE)  # of all tests
        yield training_cases.train("crate", tmp_path_factory.mktemp("one"), None)


def test_a_killed_process_is_named_and_the_run_resumed(tmp_path, undisturbed):
    training_cases.make_files(["crate"], tmp_path)
    kill(tmp_path, 1, 0, "1")
    kill(tmp_path, 0, 1, "1")  # the one that writes
    # Another number of devices: one.
    assert_equal(training_cases.train("crate", tmp_path, None), undisturbed, "resumed")


@pytest.mark.skipif(BACKEND != "jax", reason="JAX divides weights")
def test_a_run_with_divided_weights_is_resumed_on_one_device(tmp_path, undisturbed):
    training_cases.make_files(["crate"], tmp_path)
    [process] = start(["model:2", tmp_path, "crate"], 1, 4, KILL="0 1 1")
    [printed] = outputs([process])
    assert process.returncode == -9, printed
    assert_equal(training_cases.train("crate", tmp_path, None), undisturbed, "resumed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_kills_at_any_moment(number, tmp_path, undisturbed):
    """Each run is resumed after a kill, and killed again. The last one ends."""
    training_cases.make_files(["crate"], tmp_path)
    for moment in ("0", "validation", "end"):
        kill(tmp_path, number, 0, moment)
    # After the last epoch, process 0 needs no other under PyTorch: the run would be complete.
    for moment in ("2", "validation", *(("writing", "end") if number == 0 else ())):
        kill(tmp_path, number, 1, moment)
    [*printed] = outputs(start(["data", tmp_path, "crate"], 2))
    assert "Error" not in "".join(printed), printed
    assert_equal(training_cases.read(tmp_path, "crate"), undisturbed, "resumed")
