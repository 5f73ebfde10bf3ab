import json

import numpy as np
import pytest
from PIL import Image

from keras_crate import CRATE
from keras_crate.evaluation import Evaluation, LabelledFolder, Scores, accuracy
from keras_crate.evaluation.real_labels import real_labels

pytestmark = pytest.mark.any_backend


@pytest.mark.any_backend
def test_counts():
    likeliest = np.array([[0, 1], [2, 1], [1, 0], [0, 1]])
    scores = Scores(np.array([0, 1, 1, 2]), likeliest, 3, (1, 2), [[0, 2], [], [0], [0]])
    assert scores.summary() == {
        "top1": 50, "top2": 75, "real": pytest.approx(200 / 3), "real_images": 3, "images": 4,
    }  # fmt: skip
    assert str(scores) == "top-1 50.00 %, top-2 75.00 %, ReaL 66.67 % of 3 of 4 images"
    assert scores.by_class() == [100, 50, 0]
    assert Scores(np.array([1]), np.array([[1]]), 3, (1,)).by_class() == [None, 100, None]


def test_confusion_matrix():
    scores = Scores(np.array([0, 1, 1, 2]), np.array([[0], [2], [1], [0]]), 3)
    axes, _ = scores.plot(["cat", "cow", "dog"]).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["cat", "cow", "dog"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1, 0, 0], [0, 0.5, 0.5], [1, 0, 0]])
    many = Scores(np.array([0, 59]), np.array([[0], [3]]), 60)
    assert not many.plot().axes[0].get_xticklabels()
    with pytest.raises(ValueError, match="at most 2000 classes"):
        Scores(np.array([0]), np.array([[0]]), 2001).plot()


@pytest.fixture
def real(tmp_path):
    labels = [[] for _ in range(50_000)]
    labels[0], labels[6] = [0, 1], [1]
    (tmp_path / "real.json").write_text(json.dumps(labels))
    return tmp_path / "real.json"


@pytest.mark.any_backend
def test_real_labels(real, tmp_path):
    files = [tmp_path / f"ILSVRC2012_val_0000000{k}.JPEG" for k in (7, 2, 1)]
    assert real_labels(real, files) == [[1], [], [0, 1]]
    for name in ("cat.JPEG", "ILSVRC2012_val_00050001.JPEG"):
        with pytest.raises(ValueError, match=f"files must have ImageNet's names.* {name}"):
            real_labels(real, [tmp_path / name])
    (tmp_path / "short.json").write_text("[[1]]")
    with pytest.raises(ValueError, match=r"must be a list of 50,000 lists"):
        real_labels(tmp_path / "short.json", files)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        real_labels(tmp_path / "none.json", files)


def test_real_accuracy_of_a_folder(real, tmp_path):
    model = CRATE(8, 1, 1, input_shape=(4, 4, 3), patch_size=4, classes=1000)
    model.get_layer("head").bias.assign(100.0 * (np.arange(1000) == 1))  # always class 1
    folder = tmp_path / "val/n01440764"  # class 0
    folder.mkdir(parents=True)
    for k in (1, 2, 7):
        Image.new("RGB", (4, 4)).save(folder / f"ILSVRC2012_val_{k:08}.png")
    (folder / "ILSVRC2012_val_00000003.png").write_bytes(b"no image")
    labelled = LabelledFolder(tmp_path / "val", model, Evaluation(), 2, real)
    assert accuracy(model, labelled).summary() == {
        "top1": 0, "top5": pytest.approx(0, abs=100), "real": 100, "real_images": 2, "images": 3,
    }  # fmt: skip
    ten = CRATE(8, 1, 1, input_shape=(4, 4, 3), patch_size=4, classes=10)
    with pytest.raises(ValueError, match="need a model of ImageNet's 1,000 classes"):
        LabelledFolder(tmp_path / "val", ten, Evaluation(), 2, real)
