"""`fit` as users write it, on a small model: depth would cost compile time alone."""

import keras
import numpy as np
import pytest
from compare import assert_close
from marks import torch_compiles_long

import keras_crate


@pytest.fixture
def arrays(rng):
    images = rng.integers(0, 256, (16, 32, 32, 3)).astype("uint8")
    return images, np.arange(16) % 10


def _small(**options):
    small = {"classes": 10, "input_shape": (32, 32, 3), "patch_size": 8}
    return keras_crate.CRATE(48, 2, 4, **small, **options)


def _compiled(model):
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def _fits(model, *data, **options):
    """Fits two epochs; the loss is finite and every trainable weight moves."""
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    history = model.fit(*data, epochs=2, verbose=0, **options).history
    assert np.isfinite(history["loss"]).all()
    after = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_numpy_arrays_and_evaluate(arrays):
    model = _compiled(_small())
    _fits(model, *arrays, batch_size=8, validation_split=0.25)
    assert 0 <= model.evaluate(*arrays, verbose=0, return_dict=True)["accuracy"] <= 1


def test_py_dataset(arrays):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            chosen = slice(8 * index, 8 * index + 8)
            return arrays[0][chosen], arrays[1][chosen]

    _fits(_compiled(_small()), Batches())


def test_tf_data(arrays):
    tf = pytest.importorskip("tensorflow", reason="tf.data is TensorFlow's")
    _fits(_compiled(_small()), tf.data.Dataset.from_tensor_slices(arrays).batch(8))


def test_torch_data_loader(arrays):
    torch = pytest.importorskip("torch", reason="DataLoader is PyTorch's")
    images, labels = (torch.from_numpy(a) for a in arrays)
    dataset = torch.utils.data.TensorDataset(images, labels)
    _fits(_compiled(_small()), torch.utils.data.DataLoader(dataset, batch_size=8))


def test_mixed_bfloat16(arrays):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = _compiled(_small())
    assert model.get_layer("block_0_ista").compute_dtype == "bfloat16"
    _fits(model, *arrays, batch_size=8)


@torch_compiles_long
def test_jit_compile(arrays):
    """Asked for, also on PyTorch, where it is not the default; one block will do."""
    model = keras_crate.CRATE(24, 1, 2, input_shape=(32, 32, 3), patch_size=8, classes=10)
    eager = model.predict(arrays[0], verbose=0)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=True)
    assert_close(model.predict(arrays[0], verbose=0), eager, atol=1e-5)
    _fits(model, *arrays, batch_size=12)  # the last batch is smaller


def test_frozen_backbone(arrays):
    model = _small()
    trainable = [w.path for w in model.trainable_weights]
    model.freeze_backbone()
    assert {w.path.split("/")[0] for w in model.trainable_weights} == {"head_norm", "head"}
    frozen = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_weights]
    _fits(_compiled(model), *arrays, batch_size=8)
    for before, after in zip(frozen, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(after))
    model.unfreeze()
    assert [w.path for w in model.trainable_weights] == trainable
    _fits(_compiled(model), *arrays, batch_size=8)


def test_unfreeze_undoes_lora_and_keeps_fixed_positions(tmp_path):
    mae = keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    model = mae.encoder(include_top=True, classes=3)
    trainable = [w.path for w in model.trainable_weights]
    model.enable_lora(2)
    model.freeze_backbone()
    assert [w.path for w in model.trainable_weights] == ["head/kernel", "head/bias"]
    model.save(tmp_path / "frozen.keras")
    model = keras.saving.load_model(tmp_path / "frozen.keras")
    assert [w.path for w in model.trainable_weights] == ["head/kernel", "head/bias"]
    model.unfreeze()
    without_adapters = [w.path for w in model.trainable_weights if "lora" not in w.path]
    assert sorted(without_adapters) == sorted(trainable)
    assert not model.get_layer("token_embedding").positions.trainable


def test_a_model_without_head_has_no_backbone_to_freeze():
    with pytest.raises(ValueError, match="include_top=False"):
        _small(include_top=False).freeze_backbone()


def test_dropout_and_compiled_state_survive_saving(arrays, tmp_path):
    model = keras_crate.CRATE(
        24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10, dropout_rate=0.2
    )
    _fits(_compiled(model), *arrays, batch_size=8)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.compiled and int(again.optimizer.iterations) == 4
    assert again.evaluate(*arrays, verbose=0) == model.evaluate(*arrays, verbose=0)
    _fits(again, *arrays, batch_size=8)


@pytest.mark.any_backend
def test_predict_refuses_a_data_set_without_batches():
    class Nothing(keras.utils.PyDataset):
        def __len__(self):
            return 0

        def __getitem__(self, index):
            raise IndexError

    model = keras_crate.CRATE(8, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    with pytest.raises(ValueError, match=r"at least one image. Received: no batches"):
        model.predict(Nothing(), verbose=0)
    with pytest.raises(ValueError, match=r"at least one image. Received: \[\]"):
        model.predict([], verbose=0)
