import keras
import numpy as np
import pytest
from idx_files import write_idx

from keras_crate.data import open_data

pytestmark = pytest.mark.any_backend


def _splits(shape, classes, one_column):
    labels = np.arange(2 * classes) % classes
    images = np.broadcast_to(
        labels.astype("uint8").reshape(-1, *[1] * len(shape)), (len(labels), *shape)
    )
    labels = labels.astype("uint8").reshape(-1, 1) if one_column else labels
    return (images, labels), (images[:classes], labels[:classes])


@pytest.mark.parametrize(
    ("name", "shape", "names"),
    [
        ("fashion_mnist", (28, 28, 1), {0: "T-shirt/top", 9: "Ankle boot"}),
        ("mnist", (28, 28, 1), {0: "0", 9: "9"}),
        ("cifar10", (32, 32, 3), {0: "airplane", 9: "truck"}),
        ("cifar100", (32, 32, 3), {0: "apple", 47: "maple_tree", 99: "worm"}),
    ],
)
def test_sets(name, shape, names, monkeypatch):
    classes, is_grey = max(names) + 1, shape[-1] == 1
    made = _splits(shape[:2] if is_grey else shape, classes, not is_grey)
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: made)
    data = open_data(name)
    assert data.classes == classes == len(data.class_names)
    assert {k: data.class_names[k] for k in names} == names
    assert data.train.images.shape[1:] == shape and len(data.test) == classes
    assert len(data.validation) == 2 * classes // 10
    assert len(open_data(name, validation=0).train) == 2 * classes
    if is_grey:
        return
    transposed = [(images.transpose(0, 3, 1, 2), labels) for images, labels in made]
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: transposed)
    keras.config.set_image_data_format("channels_first")
    np.testing.assert_array_equal(open_data(name).test.images, data.test.images)


def test_keras_files_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # read at import
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nothing answers
    folder = tmp_path / "datasets/fashion-mnist"
    folder.mkdir(parents=True)
    for split, count in (("train", 20), ("test", 4)):
        write_idx(folder, split, count, ".gz", (28, 28))
    data = open_data("fashion_mnist")
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 4)
    with pytest.raises(OSError, match="could not load mnist: URL fetch failure") as caught:
        open_data("mnist")
    message = str(caught.value)
    assert len(message.splitlines()) == 4
    assert f"looks in {tmp_path / 'datasets'} for" in message and "put there: mnist.npz." in message
