"""The devices of a run: what is refused, and what each replica draws."""

import keras
import numpy as np
import pytest
from virtual_devices import CAN_DISTRIBUTE, needs_distribution

from keras_crate import CRATE
from keras_crate.distributed import replicas
from keras_crate.distributed.devices import Devices, check_no_loss_scale, distributed
from keras_crate.layers import PatchNoise
from keras_crate.training import Recipe, RunOptions, pretrain
from keras_crate.training.epoch_seeds import EpochSeeds

SIZE = dict(dim=8, depth=1, heads=2, input_shape=(8, 8, 1), patch_size=4, classes=2)
DATA = np.arange(10 * 64).reshape(10, 8, 8, 1) % 256, np.arange(10) % 2


@pytest.mark.parametrize("distribute", ["all", "model", "model:1", "model:x", 2])
def test_an_unknown_distribute_is_refused(distribute):
    with pytest.raises(ValueError, match=f"Received: distribute={distribute!r}"):
        RunOptions(distribute=distribute)


# What starts several processes.
LAUNCHED = {
    "jax": {"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"},
    "tensorflow": {"TF_CONFIG": '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}}'},
    "torch": {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"},
}


def test_several_processes_need_distribute(monkeypatch):
    for name, value in LAUNCHED[keras.backend.backend()].items():
        monkeypatch.setenv(name, value)
    refused = pytest.raises(ValueError, match=r'`distribute` must be given [^$]*"data"')
    with refused, distributed(None):
        pass


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX can do it")
def test_weights_are_divided_under_jax_only():
    with pytest.raises(ValueError, match="needs the JAX backend"), distributed("model:2"):
        pass


@needs_distribution
def test_more_parts_than_devices_are_refused():
    refused = pytest.raises(ValueError, match=r"the 1 devices.*Received: model:3")
    with refused, distributed("model:3"):
        pass


@pytest.mark.skipif(
    keras.backend.backend() == "jax" and not CAN_DISTRIBUTE,
    reason="`distribute` needs a newer Keras under JAX",
)
def test_auto_is_one_device_where_there_is_one():
    with distributed("auto") as devices:
        assert type(devices) is Devices


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_that_devices_do_not_divide_is_refused_before_the_run(
    accumulate, tmp_path, monkeypatch
):
    monkeypatch.setattr(Devices, "replicas", 4)
    recipe = Recipe(epochs=1, batch_size=10, accumulate=accumulate, crop_area=None)
    with pytest.raises(ValueError, match=f"Received: {10 // accumulate} images"):
        pretrain(CRATE(**SIZE), DATA, tmp_path / "run", recipe=recipe, validation=0)
    assert not (tmp_path / "run").exists()


def test_float16_with_a_loss_scale_is_refused():
    with pytest.raises(ValueError, match="mixed_float16"):
        check_no_loss_scale(CRATE(**SIZE, dtype="mixed_float16"))


def test_masks_do_not_depend_on_the_count_of_replicas(monkeypatch):
    tokens = np.zeros((4, 6, 3), "float32")
    whole = keras.ops.convert_to_numpy(PatchNoise(seed=1)(tokens))
    for number in (0, 1):
        monkeypatch.setattr(replicas, "replica", lambda number=number: (number, 2))
        found = keras.ops.convert_to_numpy(PatchNoise(seed=1)(tokens[:2]))
        np.testing.assert_array_equal(found, whole[2 * number : 2 * number + 2])
    assert not np.array_equal(whole[:2], whole[2:])


def test_only_masks_are_drawn_from_the_same_state_by_all_replicas():
    class Recorded(Devices):
        def seed(self, state, value):
            seeded.append(state.path)

    seeded = []
    inputs = keras.Input((6, 3))
    noise = PatchNoise(name="masks")(inputs)
    model = keras.Model(inputs, [keras.layers.Dropout(0.5, name="drop")(inputs), noise])
    callback = EpochSeeds(0, Recorded())
    callback.set_model(model)
    callback.on_epoch_begin(0)
    assert seeded == [model.get_layer("drop").seed_generator.state.path]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow cannot do it")
def test_accumulation_by_replicas_of_tensorflow_is_refused(tmp_path):
    recipe = Recipe(epochs=1, batch_size=2, accumulate=2, crop_area=None)
    with pytest.raises(ValueError, match="Received: accumulate=2"):
        pretrain(CRATE(**SIZE), DATA, tmp_path / "run", recipe=recipe, distribute="data")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch has a process a device")
@pytest.mark.parametrize("seed", [None, 3])
def test_processes_of_pytorch_drop_different_units(seed):
    from keras_crate.distributed.torch_processes import TorchProcesses

    def dropped(number):
        processes = TorchProcesses.__new__(TorchProcesses)
        processes.process = number
        layer = keras.layers.Dropout(0.5, seed=seed)
        callback = EpochSeeds(5, processes)
        callback.set_model(keras.Sequential([keras.Input((64,)), layer]))
        callback.on_epoch_begin(0)
        return keras.ops.convert_to_numpy(layer(np.ones((1, 64)), training=True)).tolist()

    assert dropped(0) == dropped(0) != dropped(1)
