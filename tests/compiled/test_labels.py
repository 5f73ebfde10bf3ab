import keras
import numpy as np
import pytest

from keras_crate.compiled.labels import (
    Accuracy,
    Crossentropy,
    SmoothedBinaryCrossentropy,
    TopAccuracy,
)

LABELS = np.array([2, 0, 4])
SOFT = np.random.default_rng(0).dirichlet(np.ones(5), 3).astype("float32")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Crossentropy(label_smoothing=0.1),
        lambda: SmoothedBinaryCrossentropy(0.1),
        Accuracy,
        lambda: TopAccuracy(2),
    ],
)
def test_integers_and_one_hot_labels_are_the_same(make):
    expected = float(make()(np.eye(5)[LABELS], SOFT))
    for labels in (LABELS, LABELS[:, None], LABELS.astype("uint8")):
        assert float(make()(labels, SOFT)) == pytest.approx(expected, rel=1e-6)
    thing = make()
    again = type(thing).from_config(thing.get_config())
    assert float(again(LABELS, SOFT)) == pytest.approx(expected, rel=1e-6)


def test_one_model_evaluates_labels_of_every_form():
    """TensorFlow compiles for labels of an unknown rank after the second form."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Softmax()])
    model.compile(loss=Crossentropy(), metrics=[Accuracy(), TopAccuracy(2)])
    found = [
        model.evaluate(SOFT, labels, verbose=0)
        for labels in (LABELS, LABELS[:, None], np.eye(5)[LABELS], LABELS)
    ]
    np.testing.assert_allclose(found, found[:1] * 4, rtol=1e-6)


def test_they_are_keras_s_for_one_hot_labels():
    labels = np.eye(5)[LABELS]
    ours = Crossentropy(label_smoothing=0.1)(LABELS, SOFT)
    keras_s = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)(labels, SOFT)
    assert float(ours) == pytest.approx(float(keras_s), rel=1e-6)
    mixed = 0.7 * labels + 0.3 * labels[::-1]  # as MixUp makes them
    assert float(Accuracy()(mixed, mixed)) == 1
    assert float(Crossentropy()(mixed, SOFT)) == pytest.approx(
        -float((mixed * np.log(SOFT)).sum(axis=1).mean()), rel=1e-4
    )


def test_smoothing_of_sigmoids():
    truth, logits = np.eye(1000)[[3]], np.full((1, 1000), -6.9)
    loss = SmoothedBinaryCrossentropy(0.1, from_logits=True)
    smooth = truth * 0.9 + 0.1 / 1000
    p = 1 / (1 + np.exp(6.9))
    expected = -(smooth * np.log(p) + (1 - smooth) * np.log(1 - p)).mean()
    assert float(loss(truth, logits)) == pytest.approx(expected, rel=1e-4)
    assert SmoothedBinaryCrossentropy.from_config(loss.get_config()).smoothing == 0.1
