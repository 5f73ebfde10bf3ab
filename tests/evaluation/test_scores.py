import json

import numpy as np
import pytest
from PIL import Image

from keras_crate import CRATE
from keras_crate.evaluation.evaluation import Evaluation, scores_of, scores_of_batches
from keras_crate.evaluation.scores import RealLabels, Scores


@pytest.mark.any_backend
def test_counts():
    scores = Scores(3, top=(1, 2, 5))
    outputs = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.5, 0.4, 0.1]])
    scores.add(outputs[:2], [0, 1], [[0, 2], []])
    scores.add(outputs[2:], [1, 2], [[0], [0]])
    found = scores.summary()
    assert found == {"top1": 50, "top2": 75, "real": pytest.approx(200 / 3), "real_images": 3,
                     "images": 4}  # fmt: skip
    np.testing.assert_array_equal(scores.confusion, [[1, 0, 0], [0, 1, 1], [1, 0, 0]])
    assert scores.by_class() == [100, 50, 0]
    assert Scores(2).by_class() == [None, None]
    figure = scores.plot(["cat", "cow", "dog"])
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["cat", "cow", "dog"]
    assert Scores(60).plot() is not None
    many = Scores(2001)
    many.add(np.eye(2001)[:2], [0, 5])
    assert many.by_class()[0] == 100 and many.by_class()[5] == 0
    with pytest.raises(ValueError, match=r"up to 2000 classes"):
        many.plot()


@pytest.fixture
def real(tmp_path):
    labels = [[] for _ in range(50_000)]
    labels[0], labels[6] = [0, 1], [1]
    (tmp_path / "real.json").write_text(json.dumps(labels))
    return tmp_path / "real.json"


@pytest.mark.any_backend
def test_real_labels(real, tmp_path):
    labels = RealLabels(real)
    assert labels.of(tmp_path / "ILSVRC2012_val_00000001.JPEG") == [0, 1]
    assert labels.of(tmp_path / "ILSVRC2012_val_00000007.JPEG") == [1]
    for name in ("cat.JPEG", "ILSVRC2012_val_00050001.JPEG"):
        with pytest.raises(ValueError, match=f"files must be called as ImageNet's .*{name}"):
            labels.of(tmp_path / name)
    (tmp_path / "short.json").write_text("[[1]]")
    with pytest.raises(ValueError, match=r"must be a list of 50,000 lists"):
        RealLabels(tmp_path / "short.json")
    with pytest.raises(ValueError, match="cannot be read"):
        RealLabels(tmp_path / "none.json")


def test_of_files_and_of_batches(real, tmp_path):
    model = CRATE(16, 1, 2, input_shape=(8, 8, 3), patch_size=4, classes=2, mean=0.5, std=0.5)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 8, 8, 3), dtype="uint8")
    labels = {}
    for k in range(10):
        file = tmp_path / f"ILSVRC2012_val_{k + 1:08}.png"
        Image.fromarray(pixels[k]).save(file)
        labels[file] = k % 2
    evaluation = Evaluation(size=(8, 8), resize=(8, 8), mean=0.5, std=0.5)
    images = evaluation.images(list(labels), model, 4)
    scores = scores_of(model, images, labels, real=RealLabels(real))
    assert scores.summary()["real_images"] == 2 and scores.images == 10
    said = model.predict(pixels, verbose=0).argmax(axis=1)
    assert scores.summary()["top1"] == pytest.approx(100 * (said == np.arange(10) % 2).mean())
    one_hot = np.eye(2)[np.arange(10) % 2]
    batches = [(pixels[:6], one_hot[:6]), (pixels[6:], one_hot[6:])]
    np.testing.assert_array_equal(scores_of_batches(model, batches).confusion, scores.confusion)
    model.get_layer("head").kernel.assign(np.full((16, 2), np.nan))
    with pytest.raises(ValueError, match="outputs are NaN"):
        scores_of_batches(model, batches)
