import keras
import numpy as np
import pytest
from PIL import Image

from keras_crate import CRATE, CRATEMAE
from keras_crate.data.image_sources import ArraySource
from keras_crate.evaluation import Evaluation, LabelledFolder, accuracy
from keras_crate.evaluation.classes import number_of_classes

COLOURS = {"red": (200, 60, 10), "green": (10, 200, 60), "blue": (60, 10, 200)}


def brightest_channel(activation):
    """A classifier of colours: the class is the channel that is brightest."""
    images = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(images)
    centred = keras.layers.Rescaling(1 / 64, offset=-2)(means)  # some below 0
    model = keras.Model(images, keras.layers.Activation(activation)(centred))
    model.class_names = list(COLOURS)
    return model


@pytest.fixture
def colours(tmp_path):
    """A folder for each colour, with broken files first and last."""
    folder = tmp_path / "colours"
    for name, colour in (*COLOURS.items(), ("green", (200, 190, 10))):  # yellowish: red, then green
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), colour).save(folder / name / f"{colour[1]}.png")
    for name in ("blue/0.png", "red/z.png"):
        (folder / name).write_bytes(b"no image")
    return folder


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_counts_what_was_read(colours, activation):
    model = brightest_channel(activation)
    for batch_size in (1, 2, 32):
        labelled = LabelledFolder(colours, model, Evaluation.for_model(model), batch_size)
        scores = accuracy(model, labelled)
        assert scores.summary() == {"top1": 75.0, "images": 4}  # of 3 classes no top 5
        assert scores.by_class() == [100, 50, 100]
        assert len(labelled.images.broken) == 2
    found = accuracy(model, labelled, top=(2, 3)).summary()
    assert found == {"top2": 100.0, "top3": 100.0, "images": 4}


def test_files_arrays_and_batches_of_one_hot_labels_score_the_same(tmp_path):
    model = CRATE(16, 1, 2, input_shape=(8, 8, 3), patch_size=4, classes=2, mean=0.5, std=0.5)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype="uint8")
    labels = np.arange(10) % 2
    for k in range(10):
        (tmp_path / f"{labels[k]}").mkdir(exist_ok=True)
        Image.fromarray(pixels[k]).save(tmp_path / f"{labels[k]}/{k}.png")
    evaluation = Evaluation.for_model(model)
    with pytest.warns(UserWarning, match="No folder"):
        files = LabelledFolder(tmp_path, model, evaluation, 4)
    arrays = evaluation.batches(ArraySource(pixels, labels), model, 4)
    said = model.predict(pixels, verbose=0).argmax(axis=1)
    expected = 100 * (said == labels).mean()
    one_hot = [(pixels[:6], np.eye(2)[labels[:6]]), (pixels[6:], np.eye(2)[labels[6:]])]
    for batches in (files, arrays, one_hot):
        scores = accuracy(model, batches)
        assert scores.summary() == {"top1": pytest.approx(expected), "images": 10}
        np.testing.assert_array_equal(np.sort(scores.likeliest[:, 0]), np.sort(said))
    model.get_layer("head").kernel.assign(np.full((16, 2), np.nan))
    with pytest.raises(ValueError, match="outputs are NaN for 6 of 6"):
        accuracy(model, one_hot)


def test_progress_is_one_line_where_there_is_no_terminal(colours, capsys):
    model = brightest_channel("linear")
    labelled = LabelledFolder(colours, model, Evaluation.for_model(model), 2)
    accuracy(model, labelled)
    assert capsys.readouterr().out == ""
    accuracy(model, labelled, verbose=1)
    out = capsys.readouterr().out
    assert "100%" in out and out.count("\n") == 1


def test_refuses(colours):
    model, evaluation = brightest_channel("linear"), Evaluation()
    labelled = LabelledFolder(colours, model, evaluation)
    with pytest.raises(ValueError, match="`top` must be a positive integer"):
        accuracy(model, labelled, top=(0,))
    images = np.zeros((2, 16, 16, 3))
    for wrong in ([0, 3], [-1, 0], [0, 0.5]):
        with pytest.raises(ValueError, match="integers from 0 to 2"):
            accuracy(model, [(images, wrong)])
    for file in ("red/60.png", "green/200.png", "green/190.png", "blue/10.png"):
        (colours / file).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"None of the 6 files .*it is not"):
        accuracy(model, labelled)


def test_folders_by_name_and_by_wordnet_identifier(colours):
    (colours / "green").rename(colours / "n01443537")
    small = {"input_shape": (16, 16, 3), "patch_size": 8}
    model = CRATE(24, 1, 2, classes=3, class_names=["blue", "red", "n01443537"], **small)

    def labels(model):
        found = LabelledFolder(colours, model, Evaluation()).labels
        return {file.parent.name: label for file, label in found.items()}

    assert labels(model) == {"blue": 0, "n01443537": 2, "red": 1}
    (colours / "red").rename(colours / "great white shark")
    (colours / "blue").rename(colours / "n01484850")
    imagenet = CRATE(24, 1, 2, classes=1000, class_names="imagenet", **small)
    assert labels(imagenet) == {"n01443537": 1, "great white shark": 2, "n01484850": 2}
    (colours / "great white shark").rename(colours / "n01491361")
    unnamed = CRATE(24, 1, 2, classes=1000, **small)
    assert labels(unnamed) == {"n01443537": 1, "n01484850": 2, "n01491361": 3}
    other = CRATE(24, 1, 2, classes=1000, class_names=[str(k) for k in range(1000)], **small)
    with pytest.raises(ValueError, match="of the 1000 classes"):
        labels(other)


def test_models_without_classes_are_refused():
    small = {"input_shape": (16, 16, 3), "patch_size": 8}
    assert number_of_classes(CRATE(24, 1, 2, classes=3, **small)) == 3
    for model, message in (
        (CRATE(24, 1, 2, include_top=False, **small), "features, without a head"),
        (CRATEMAE(24, 1, 2, **small), "outputs of shape .*encoder"),
        (keras.Sequential([keras.Input((4, 4, 3)), keras.layers.ReLU()]), "None, 4, 4, 3"),
    ):
        with pytest.raises(ValueError, match=message):
            number_of_classes(model)
