import keras
import numpy as np
import pytest

from keras_crate import CRATE
from keras_crate.interpret import attention_maps, intermediates, segment, segment_features


def _features(labels, rng, noise=0.3):
    """Features of patches: one random direction a label, and noise."""
    directions = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    labels = np.asarray(labels)
    return directions[labels] + noise / 4 * rng.normal(size=(*labels.shape, 16))


OBJECT = np.zeros((6, 8), int)
OBJECT[2:5, 3:7] = 1


def test_finds_an_object_before_a_background(rng):
    background_of_two = OBJECT.copy()
    background_of_two[:, :3] = 2  # that alone would be the larger cut
    planted = np.stack([OBJECT, OBJECT[::-1, ::-1]])
    found = segment_features(_features(planted, rng))
    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, planted)


def test_an_object_at_the_edge_and_one_that_covers_the_middle(rng):
    corner = np.zeros((6, 8), int)
    corner[:3, :4] = 1
    large = np.zeros((6, 8), int)
    large[1:-1, 1:-1] = 1  # more patches than the background
    planted = np.stack([corner, large])
    np.testing.assert_array_equal(segment_features(_features(planted, rng)), planted)


def test_one_object_after_another(rng):
    planted = np.zeros((1, 8, 10), int)
    planted[0, 1:4, 1:5] = 1
    planted[0, 5:7, 6:9] = 2
    found = segment_features(_features(planted, rng), objects=2)
    for label in (1, 2):
        (number,) = np.unique(found[planted == label])
        np.testing.assert_array_equal(found == number, planted == label)
    assert set(np.unique(found)) == {0, 1, 2}


def test_of_two_alike_pieces_one_is_an_object(rng):
    planted = np.zeros((1, 8, 10), int)
    planted[0, 1:4, 1:5] = planted[0, 5:7, 6:9] = 1
    found = segment_features(_features(planted, rng))
    assert (found == 1).sum() in (12, 6) and (planted[found == 1] == 1).all()


def test_where_all_is_alike_or_nothing_is_there_is_no_object():
    for alike in (np.zeros((1, 3, 3, 4)), np.ones((1, 3, 3, 4)), np.eye(9).reshape(1, 3, 3, 9)):
        np.testing.assert_array_equal(segment_features(alike, objects=3), np.zeros((1, 3, 3)))
    with pytest.raises(ValueError, match="must be finite"):
        segment_features(np.full((1, 3, 3, 4), np.nan))


@pytest.fixture(scope="module")
def model():
    return CRATE(24, 2, 2, input_shape=(16, 32, 3), patch_size=8, classes=5)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def test_segments_by_the_models_tokens_or_keys(model, images):
    """At another size than the model's."""
    (maps,) = intermediates(model, images, [0], what="map")
    found = segment(model, images, layer=0, what="tokens", objects=2, batch_size=2)
    np.testing.assert_array_equal(found, segment_features(maps, objects=2))
    larger = model.with_input_shape((32, 32, 3))
    inside = keras.Model(larger.input, larger.get_layer("block_0_norm_1").output)
    keys = inside.predict(images, verbose=0) @ larger.get_layer("block_0_mssa").get_weights()[0]
    expected = segment_features(keys[:, 1:].reshape(3, 4, 4, 24), threshold=0.1)
    found = segment(model, images, layer=0, threshold=0.1)
    np.testing.assert_array_equal(found, expected)


def test_refusals(model, images):
    with pytest.raises(ValueError, match=r"`what` must be one of 'tokens', 'keys'.*'values'"):
        segment(model, images, what="values")
    with pytest.raises(ValueError, match="`objects` must be a positive integer"):
        segment(model, images, objects=0)
    with pytest.raises(ValueError, match=r"`threshold` must be in \(-1, 1\)"):
        segment(model, images, threshold=1.0)
    with pytest.raises(ValueError, match=r"at least 4 patches.*\(3, 1, 2, 24\)"):
        segment(model, images[:, :8, :16])
    for layer in (7, 0.5, "1"):
        with pytest.raises(ValueError, match=rf"numbers 0, 1. .* Received: \[{layer!r}\]"):
            segment(model, images, layer=layer)
    for layers in (-1, []):
        with pytest.raises(ValueError, match="Blocks have the numbers 0, 1"):
            intermediates(model, images, layers=layers)
    tssa = CRATE(24, 1, 2, input_shape=(32, 32, 3), patch_size=8, classes=5, compress="tssa")
    assert segment(tssa, images, what="keys").shape == (3, 4, 4)
    with pytest.raises(ValueError, match=r"takes `return_attention_scores`, as MSSA does.*is TSSA"):
        attention_maps(tssa, images)
