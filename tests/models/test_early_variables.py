import keras
import numpy as np
import pytest

import keras_crate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow traces a step twice"
)


class Counting(keras.layers.Layer):
    """Counts how often a step is traced."""

    traces = 0

    def call(self, inputs):
        type(self).traces += 1
        return inputs


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[4 * index : 4 * index + 4] for part in self.arrays)


def _arrays(weights):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (8, 16, 16, 3)).astype("float32")
    return images, rng.integers(0, 5, 8), *[rng.uniform(size=8).astype("float32")] * weights


def _model(**options):
    model = keras_crate.CRATE(
        24, 1, 2, compress=Counting, input_shape=(16, 16, 3), patch_size=8, classes=5
    )
    model.compile("adamw", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    Counting.traces = 0
    return model


def _of_kind(kind, arrays):
    import tensorflow as tf

    if kind == "arrays":
        named = {"sample_weight": arrays[2]} if len(arrays) == 3 else {}
        return arrays[:2], {"batch_size": 4, **named}
    if kind == "PyDataset":
        return (Batches(*arrays),), {}
    return (tf.data.Dataset.from_tensor_slices(arrays).batch(4),), {}


@pytest.mark.parametrize(
    ("kind", "weights"), [("arrays", True), ("PyDataset", False), ("tf.data", True)]
)
def test_a_step_is_traced_once(kind, weights):
    data, options = _of_kind(kind, _arrays(weights))
    model = _model(weighted_metrics=["accuracy"] if weights else None)
    model.fit(*data, **options, epochs=2, verbose=0)
    assert Counting.traces == 1
    model.evaluate(*data, **options, verbose=0)
    assert Counting.traces == 2


def test_the_numbers_are_those_of_keras(monkeypatch):
    found = []
    for early in (True, False):
        if not early:
            monkeypatch.setattr(
                "keras_crate.models.white_box.make_variables_early", lambda *_: None
            )
        keras.utils.set_random_seed(0)
        model = _model()
        history = model.fit(*_arrays(False), epochs=2, batch_size=4, verbose=0).history
        found.append((history, model.evaluate(*_arrays(False), verbose=0), Counting.traces))
    (history, results, traces), (by_keras, expected, more) = found
    assert history == by_keras and results == expected
    assert traces < more


def test_labels_of_a_wrong_shape_are_refused_by_keras():
    images, _ = _arrays(False)
    with pytest.raises(ValueError, match="shape"):
        _model().fit(images, np.zeros((8, 7)), verbose=0)


def test_a_generator_loses_no_batch():
    model, seen = _model(), []

    def batches():
        for index in range(2):
            seen.append(index)
            yield Batches(*_arrays(False))[index]

    model.fit(batches(), verbose=0)
    assert seen == [0, 1]


def test_a_model_that_is_not_compiled():
    model = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    with pytest.raises(ValueError, match=r"call `compile\(\)`"):
        model.fit(*_arrays(False), verbose=0)
