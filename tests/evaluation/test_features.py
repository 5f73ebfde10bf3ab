import numpy as np
import pytest

import keras_crate
from keras_crate.evaluation import features_of, knn_accuracy, linear_accuracy

pytestmark = pytest.mark.any_backend


def _clusters(rng, count=60, classes=6, d=12):
    centres = rng.normal(size=(classes, d))
    labels = np.arange(count) % classes
    return centres[labels] + 0.9 * rng.normal(size=(count, d)), labels


def test_knn_votes_with_the_exponential_of_the_cosine(rng):
    """As DINO's loop over the test images, in NumPy."""
    features, labels = _clusters(rng, 120)
    train, test = (features[:60], labels[:60]), (features[60:], labels[60:])
    scores = knn_accuracy(*train, *test, neighbours=7, temperature=0.1)
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z, _ in (train, test)]
    similarity = unit[1] @ unit[0].T
    expected = []
    for row in similarity:
        votes = np.zeros(6)
        for k in np.argsort(-row)[:7]:
            votes[train[1][k]] += np.exp(row[k] / 0.1)
        expected.append(votes.argmax())
    np.testing.assert_array_equal(scores.likeliest[:, 0], expected)
    assert scores.summary()["top1"] == pytest.approx(100 * np.mean(expected == test[1]))
    assert scores.summary()["top5"] >= scores.summary()["top1"]


def test_linear_is_right_where_a_plane_separates(rng):
    features = rng.normal(size=(80, 3)) * (1, 1000, 1)  # of other scales
    labels = 2 + 3 * (features[:, 0] > 0)  # classes 2 and 5
    scores = linear_accuracy(features[:60], labels[:60], features[60:], labels[60:])
    assert scores.summary()["top1"] > 90 and scores.top == (1,)
    assert set(scores.likeliest[:, 0]) <= {2, 5}


def test_features_of_a_classifier_are_those_before_its_head(rng):
    options = {"input_shape": (16, 16, 1), "patch_size": 8}
    model = keras_crate.CRATE(24, 1, 2, **options, classes=3)
    encoder = keras_crate.CRATE(24, 1, 2, **options, include_top=False)
    for layer in encoder.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    images = rng.uniform(0, 255, (4, 16, 16, 1))
    batches = [(images[:3], np.eye(3)), (images[3:], np.eye(3)[1:2])]
    features, labels = features_of(model, batches)
    np.testing.assert_allclose(features, features_of(encoder, batches)[0], atol=1e-5)
    assert labels.tolist() == [0, 1, 2, 1]
    tokens = keras_crate.CRATE(24, 1, 2, **options, include_top=False, pooling=None)
    with pytest.raises(ValueError, match=r"one vector an image. Received: outputs of shape \(None"):
        features_of(tokens, batches)


def test_bad_input(rng):
    features, labels = _clusters(rng)
    for arguments, message in (
        ((features, labels, features, labels, 0), "`neighbours` must be a positive integer"),
        ((features, labels, features, labels, 20, 0), "`temperature` must be a number above 0"),
        ((features, labels[1:], features, labels), "inconsistent numbers of samples"),
        ((features, labels, features, labels[1:]), "must be 60 integers"),
        ((features, labels, features[:, 1:], labels), "features"),
    ):
        with pytest.raises(ValueError, match=message):
            knn_accuracy(*arguments)
