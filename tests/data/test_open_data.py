import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from large_pictures import large_png
from marks import needs
from PIL import Image

from keras_crate.data import open_data


@pytest.fixture
def folder(tmp_path):
    """Training and validation images of two classes."""
    for part, count in (("train", 3), ("val", 2)):
        for k, name in enumerate(("cat", "dog")):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.full((10, 12, 3), 100 * k + 10 * i, "uint8")
                Image.fromarray(pixels).save(tmp_path / "pets" / part / name / f"{i}.png")
    return tmp_path / "pets"


def test_a_folder_with_both_parts(folder):
    data = open_data(folder)
    assert data.class_names == ("cat", "dog") and data.classes == 2
    assert len(data.train) == 6 and len(data.validation) == 4
    np.testing.assert_array_equal(data.train.labels, [0, 0, 0, 1, 1, 1])
    assert np.asarray(data.train.image(4, "L")).mean() == pytest.approx(110, abs=1)
    assert data.train.image(4, "L").size == (12, 10)


def test_a_folder_of_classes_and_another_for_validation(folder):
    data = open_data(folder / "train", validation=folder / "val", limit=4)
    assert len(data.train) == 4 and len(data.validation) == 4
    assert open_data(folder / "train").validation is None


def test_test_images_are_no_validation_images(folder):
    """Without other images, a tenth of the training images is for validation."""
    (folder / "val").rename(folder / "test")
    data = open_data(folder)
    assert (len(data.train), len(data.validation), len(data.test)) == (5, 1, 4)
    assert not {*data.train.files} & {*data.validation.files}
    assert open_data(folder).validation.files == data.validation.files
    whole = open_data(folder, validation=0)
    assert (len(whole.train), whole.validation, len(whole.test)) == (6, None, 4)
    assert open_data(whole) is whole
    shutil.copytree(folder / "test", folder / "valid")
    data = open_data(folder, limit=3)
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 4, 4)


def test_a_test_folder_without_classes_is_ignored(folder):
    (folder / "test").mkdir()
    shutil.copy(folder / "val/cat/0.png", folder / "test")
    data = open_data(folder)
    assert data.test is None and len(data.validation) == 4


def test_a_share_of_the_training_images():
    data, given = open_data("digits", validation=0.2), open_data("digits")
    assert len(data.train) + len(data.validation) == len(given.train)
    assert len(data.validation) == round(0.2 * len(given.train)) and data.test is None
    np.testing.assert_allclose(
        np.bincount(data.validation.labels), 0.2 * np.bincount(given.train.labels), atol=1
    )
    assert len(open_data(given, validation=0.2).validation) == len(data.validation)


def test_classes_in_the_model_s_order(folder):
    data = open_data(folder, class_names=("dog", "cat", "cow"), classes=3)
    np.testing.assert_array_equal(data.train.labels, [1, 1, 1, 0, 0, 0])
    assert data.classes == 3 and data.class_names == ("dog", "cat", "cow")


def test_validation_folders_are_matched_with_the_training_s_classes(folder, tmp_path):
    """In any order of their names. A folder that matches none of them is refused."""
    (folder / "val/cat").rename(folder / "val/ant")
    for given in ({}, {"classes": 2}):
        with pytest.raises(ValueError, match=r"have the name .*'ant'"):
            open_data(folder, **given)
    (folder / "val/ant").rename(folder / "val/cat")
    with pytest.warns(UserWarning, match="in alphabetical order"):
        data = open_data(folder, classes=2)
    np.testing.assert_array_equal(data.validation.labels, [0, 0, 1, 1])


def test_a_class_may_be_called_train(folder):
    (folder / "val/dog").rename(folder / "val/train")
    data = open_data(folder / "val")
    assert data.class_names == ("cat", "train") and len(data.train) == 4


def test_wordnet_identifiers_alone(folder):
    (folder / "train/dog").rename(folder / "train/n02")
    (folder / "train/cat").rename(folder / "train/n03")
    data = open_data(folder / "train", wordnet_ids=["n01", "n02", "n03"])
    assert data.classes == 3 and data.class_names is None
    np.testing.assert_array_equal(data.train.labels, [1, 1, 1, 2, 2, 2])


def test_what_was_opened_before(folder):
    data = open_data(folder)
    assert open_data(data) is data
    assert len(open_data(data, limit=2).train) == 2
    with pytest.raises(ValueError, match="`classes` must be the number of classes of the data, 2"):
        open_data(data, class_names=("cat", "dog", "cow"))


def test_validation_images(folder):
    images = np.zeros((4, 8, 8, 3), "uint8")
    for data in (folder, "digits", (images, np.arange(4) % 2)):
        for given, count in (((images[:3], np.array([0, 1, 1])), 3), (folder / "val", 4)):
            if data == "digits" and count == 4:
                continue  # its classes are others
            assert len(open_data(data, validation=given).validation) == count
    for wrong, received in ((3, "3"), (-0.1, "-0.1"), (True, "bool"), ({}, "dict")):
        message = rf"must be a folder, a pair .* share in \[0, 1\) .* Received: {received}"
        with pytest.raises(ValueError, match=message):
            open_data(folder, validation=wrong)


def test_classes_in_another_order_are_refused():
    names = tuple(reversed("0123456789"))
    with pytest.raises(ValueError, match=r"class 0 is '0' in the data .* and '9' in the model"):
        open_data("digits", class_names=names, classes=10)
    assert open_data("digits", class_names=tuple("0123456789"), classes=10)


def test_a_sample_is_of_all_classes():
    images = np.zeros((100, 8, 8, 1), "uint8")
    data = open_data((images, np.arange(100) // 50), limit=20)
    assert len(data.train) == 20 and 5 < data.train.labels.sum() < 15
    again = open_data((images, np.arange(100) // 50), limit=20)
    np.testing.assert_array_equal(data.train.labels, again.train.labels)


def test_arrays_and_sets():
    images = np.zeros((4, 8, 8, 1), "uint8")
    data = open_data(
        (images, np.array([[0], [1], [2], [1]])), validation=(images, np.arange(4) % 3)
    )
    assert data.classes == 3 and data.class_names is None and len(data.validation) == 4
    floats = open_data((images + 199.6, np.arange(4)))
    assert floats.train.images.max() == 200 and floats.train.images.dtype == "uint8"
    digits = open_data("digits")
    assert len(digits.train) + len(digits.validation) == 1797 and digits.train.channels == 1


@pytest.mark.any_backend
@needs("datasets")
def test_hugging_face(tmp_path, monkeypatch):
    import datasets

    pixels = [np.full((6, 8, 3), 10 * k, "uint8") for k in range(6)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    columns = {"image": [Image.fromarray(p) for p in pixels], "label": [0, 1, 0, 1, 0, 1]}
    whole = datasets.Dataset.from_dict(columns, features=features)
    split = datasets.DatasetDict(train=whole.select(range(4)), test=whole.select(range(4, 6)))
    split.save_to_disk(tmp_path / "saved")
    for given in (split, f"huggingface:{tmp_path / 'saved'}"):
        data = open_data(given)
        assert (len(data.train), len(data.validation), len(data.test)) == (3, 1, 2)
        assert data.class_names == ("cat", "dog")
        assert np.asarray(data.test.image(1, "RGB")).mean() == 50
        np.testing.assert_array_equal(open_data(given, validation=0).train.labels, [0, 1, 0, 1])
    assert data.name == "saved"  # without the path
    monkeypatch.chdir(tmp_path.parent)
    assert open_data(f"huggingface:{tmp_path.name}/saved").name == "saved"
    secret = whole.map(lambda row: {"label": -1}, features=features)
    data = open_data(datasets.DatasetDict(train=whole, valid=whole, test=secret))
    assert len(data.validation) == 6 and data.test is None
    assert open_data(whole).validation is None
    for name, message in (("label", "`datasets.ClassLabel`"), ("image", "column of type")):
        with pytest.raises(ValueError, match=message):
            open_data(whole.remove_columns(name))
    (tmp_path / "large.png").write_bytes(large_png())
    large = {"image": [str(tmp_path / "large.png")] * 2, "label": [0, 1]}
    source = open_data(datasets.Dataset.from_dict(large, features=features), validation=0).train
    with pytest.raises(ValueError, match="it has 13,300 x 13,300 pixels"):
        source.image(0, "RGB")
    with pytest.raises(ValueError, match="must not be streamed"):
        open_data(whole.to_iterable_dataset())
    with pytest.raises(ValueError, match=r"a split `train`. Received: other"):
        open_data(datasets.DatasetDict(other=whole))
    with pytest.raises(OSError, match="none"):
        open_data(f"huggingface:{tmp_path / 'none'}")


@needs("tensorflow", "tensorflow_datasets")
def test_tensorflow_datasets():
    import tensorflow_datasets as tfds

    for name, splits, classes in (
        ("imagenet2012", ("train", "validation", None), 1000),
        ("oxford_flowers102", ("train", "validation", "test"), 102),
        ("oxford_iiit_pet", ("train[:3]", "train[3:4]", "test"), 37),
    ):
        with tfds.testing.mock_data(num_examples=4):
            data = open_data(name)
            parts = (data.train, data.validation, data.test)
            assert tuple(part and part.split for part in parts) == splits
            assert data.classes == classes == len(data.class_names)
            assert len(data.validation.labels) == 4
            assert data.train.image(1, "RGB").mode == "RGB"
            assert data.train.sample(2).split == "train[:2]"
            assert data.validation._part(0, 1).split in ("validation[:1]", "train[3:4]")


@needs("tensorflow", "tensorflow_datasets")
def test_imagenet_says_which_files_where(tmp_path):
    """In a process of its own: TensorFlow Datasets reads the variable when it is imported."""
    script = "from keras_crate.data import open_data; open_data('imagenet2012')"
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    error = done.stderr.decode().rpartition("OSError: ")[2]
    for words in ("TFDS_DATA_DIR", str(tmp_path / "downloads/manual"), "ILSVRC2012_img_train.tar"):
        assert words in error


def test_what_is_refused(folder, tmp_path):
    for name, near in (
        ("cifar", "cifar10"), ("fashion-mnist", "fashion_mnist"), ("oxford_pets", "oxford_iiit"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"no folder '{name}'. Did you mean.*'{near}"):
            open_data(name)
    with pytest.raises(ValueError, match=r"Received: int"):
        open_data(3)
    images = np.zeros((4, 8, 8, 1), "uint8")
    for pair, message in (
        (
            (images, np.array([0, 1, -1, 0])),
            r"Labels must be from 0 to 1. Received: -1 for Image 2",
        ),
        ((images, np.zeros(4, int)), "two classes or more"),
        ((images, np.arange(3)), "Labels must be 4 integers"),
        ((images, np.linspace(0, 1, 4)), "Labels must be 4 integers"),
        ((images[..., 0], np.arange(4)), r"must have shape \(n, height"),
        ((images - 0.5, np.arange(4)), r"finite and in \[0, 255\]"),
        ((np.where(images == 0, np.nan, 9), np.arange(4)), r"finite and in \[0, 255\]"),
        ((images + 0.5, np.arange(4)), "not rescaled"),
        ((images[:0], np.arange(0)), "two classes or more|at least one image"),
    ):
        with pytest.raises(ValueError, match=message):
            open_data(pair)
    with pytest.raises(ValueError, match=r"Labels must be from 0 to 1. Received: 2"):
        open_data((images, np.arange(4)), classes=2)
    with pytest.raises(
        ValueError, match=r"`classes` must be the number of classes of the data, 10"
    ):
        open_data("digits", classes=3)
    with pytest.raises(ValueError, match="`limit` must be a positive integer"):
        open_data("digits", limit=0)
    (tmp_path / "one/cat").mkdir(parents=True)
    keras.utils.save_img(tmp_path / "one/cat/0.png", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"two classes or more. Received: 1"):
        open_data(tmp_path / "one")
    (tmp_path / "one/dog").mkdir()
    with pytest.raises(ValueError, match=r"There are no images in the folder .*dog"):
        open_data(tmp_path / "one")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="one folder per class"):
        open_data(tmp_path / "empty")
