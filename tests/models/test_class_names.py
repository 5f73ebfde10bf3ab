import numpy as np
import pytest

from keras_crate import CRATE, decode_predictions
from keras_crate.models.class_names import imagenet_classes, resolve_class_names


def _model(**arguments):
    return CRATE(8, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=3, **arguments)


def test_names_come_from_the_model():
    model = _model(class_names=["cat", "dog", "fox"])
    probabilities = np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]], "float32")
    decoded = decode_predictions(probabilities, model, top=2)
    assert [[name for name, _ in row] for row in decoded] == [["dog", "cat"], ["cat", "fox"]]
    assert decoded[0][0][1] == pytest.approx(0.7)


def test_names_can_be_given_and_top_may_exceed_them():
    decoded = decode_predictions(np.array([[0.1, 0.9]]), ["no", "yes"])
    assert decoded == [[("yes", 0.9), ("no", 0.1)]]


def test_names_of_any_language():
    names = ["a\u200cb", "\u00a0é", "猫"]  # with a mark that joins, and a wide space
    assert resolve_class_names(names, 3) == tuple(names)


def test_imagenets_names():
    classes = imagenet_classes()
    assert len(classes) == 1000 == len({name for _, name in classes})
    assert classes[0] == ("n01440764", "tench") and classes[207][1] == "golden retriever"
    assert classes[999] == ("n15075141", "toilet tissue")
    one_hot = np.eye(1000)[[207]]
    assert decode_predictions(one_hot, "imagenet", top=1) == [[("golden retriever", 1.0)]]


def test_names_can_be_set_later_and_are_checked():
    model = _model()
    model.class_names = ["a", "b", "c"]
    assert model.get_config()["class_names"] == ("a", "b", "c")
    with pytest.raises(ValueError, match="2 names for classes=3"):
        model.class_names = ["a", "b"]


@pytest.mark.parametrize(
    ("probabilities", "names", "arguments", "message"),
    [
        (np.zeros((1, 3)), None, {}, "The model has no class names"),
        (np.zeros((1, 2)), ["a", "b", "c"], {}, "3 names for classes=2"),
        (np.zeros(3), ["a", "b", "c"], {}, r"shape \(batch, classes\)"),
        (np.zeros((1, 3)), ["a", "b", "c"], {"top": 0}, "`top` must be a positive integer"),
        (np.zeros((1, 2)), {"a", "b"}, {}, r"in the order of the classes.*Received: class_names={"),
        (np.zeros((1, 2)), {"a": 1, "b": 0}, {}, "in the order of the classes"),
        (np.zeros((1, 2)), b"ab", {}, "in the order of the classes"),
        (np.zeros((1, 2)), ["a", "b\x1b[2J"], {}, r"no control characters.*Received: 'b\\x1b\[2J'"),
        (np.zeros((1, 2)), 2, {}, "in the order of the classes.*class_names=2"),
    ],
)
def test_refusals(probabilities, names, arguments, message):
    with pytest.raises(ValueError, match=message):
        decode_predictions(probabilities, names or _model(), **arguments)
