import warnings

import numpy as np
import pytest
from PIL import Image

from keras_crate.data.class_folders import labelled_files

pytestmark = pytest.mark.any_backend


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.fixture
def make(tmp_path):
    """A function that makes images in a folder."""

    def make(*paths):
        for path in paths:
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((4, 4, 3), "uint8")).save(file)
        return tmp_path

    return make


def test_by_name_in_nested_folders_some_classes_only(make):
    folder = make("dog/1.png", "dog/0.png", "cat/deep/er/2.jpg", "loose.png", ".hidden/3.png")
    (folder / "dog" / "notes.txt").write_text("no image")
    files, labels, folders = labelled_files(str(folder), ["bird", "cat", "cow", "dog"])
    assert [file.relative_to(folder).as_posix() for file in files] == [
        "cat/deep/er/2.jpg", "dog/0.png", "dog/1.png",
    ]  # fmt: skip
    np.testing.assert_array_equal(labels, [1, 3, 3])
    assert labels.dtype == "int64" and folders == ("cat", "dog")


def test_by_wordnet_identifier_after_the_name(make):
    folder = make("n02/0.png", "tench/1.png", "n03/2.png")
    ids = ["n01", "n02", "n03"]
    _, labels, _ = labelled_files(folder, ["n03", "tench", "crane"], 3, ids)
    np.testing.assert_array_equal(labels, [1, 0, 1])  # n02 by its id, n03 is a name first
    _, labels, _ = labelled_files(make("n02/0.png"), ["a", "tench", "n03"], wordnet_ids=ids)
    np.testing.assert_array_equal(labels, [1, 2, 1])


def test_in_alphabetical_order_where_none_matches(make):
    folder = make("2/0.png", "10/0.png", "1/0.png")
    with pytest.warns(UserWarning, match=r"3 folders .* alphabetical order, '1' for class 0"):
        _, labels, folders = labelled_files(folder, ["a", "b", "c"])
    np.testing.assert_array_equal(labels, [0, 1, 2])
    assert folders == ("1", "10", "2")
    with pytest.warns(UserWarning, match="alphabetical order"):
        labelled_files(folder, classes=3)
    assert labelled_files(folder)[2] == folders  # nothing to match with, nothing to warn of


def test_folders_that_match_nothing(make):
    folder = make("cat/0.png", "dgo/0.png")
    with pytest.raises(ValueError, match=r"of the 2 classes.*1 match no class.*'dgo'. Did"):
        labelled_files(folder, ["cat", "dog"])  # as many as classes, but one has its name
    with pytest.raises(ValueError, match=r"1 match no class, such as 'dgo'. Did you mean 'dog'"):
        labelled_files(folder, ["cat", "dog", "cow"])
    with pytest.raises(ValueError, match="the WordNet identifier of one of the 5 classes"):
        labelled_files(folder, wordnet_ids=[f"n{k}" for k in range(5)])
    with pytest.raises(ValueError, match=r"of the 3 classes, or .* for each class. .*2 folders"):
        labelled_files(folder, classes=3)


def test_refusals(make, tmp_path):
    with pytest.raises(ValueError, match="has no folders"):
        labelled_files(tmp_path)
    folder = make("0.png")
    with pytest.raises(ValueError, match=r"one folder per class.*has no folders"):
        labelled_files(folder)
    for path in (folder / "nowhere", folder / "0.png"):
        with pytest.raises(ValueError, match="which is not a folder"):
            labelled_files(path)
    make("cat/0.png")
    with pytest.raises(ValueError, match=r"each of the 3 classes. Received: 2 entries"):
        labelled_files(folder, ["cat", "dog"], classes=3)
    with pytest.raises(ValueError, match="`classes` must be a positive integer"):
        labelled_files(folder, classes=0)
    with pytest.raises(ValueError, match="'cat' must match one class"):
        labelled_files(folder, ["cat", "dog", "cat"])
    (folder / "dog").mkdir()
    with pytest.raises(ValueError, match=r"no images in the folder .*dog"):
        labelled_files(folder, ["cat", "dog"])
