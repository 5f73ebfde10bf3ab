import io
import pickle

import numpy as np
import pytest

from keras_crate import CRATE, CRATEMAE, evaluation, fuse, interpret, objective

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (2, 16, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    return CRATE(24, 2, 2, input_shape=(16, 32, 3), patch_size=8, classes=5)


def _pictures(figure):
    """What each of the figure's axes shows last, row by row."""
    return [np.asarray(ax.get_images()[-1].get_array()) for ax in figure.axes]


def _titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def test_head_atlas_is_images_by_heads(model, images):
    figure = interpret.head_atlas(model, images, layer=0)
    assert _titles(figure) == ["image", "head 0", "head 1"] and len(figure.axes) == 6
    assert "untrained model" in figure.get_suptitle()
    maps = interpret.attention_maps(model, images, layer=0)
    pictures = _pictures(figure)
    np.testing.assert_allclose(pictures[0], images[0] / 255)
    np.testing.assert_allclose(pictures[5], maps[1, 1], atol=1e-6)


def test_rollout_components_and_objects(model, images):
    heat = interpret.rollout(model, images)
    np.testing.assert_allclose(_pictures(interpret.plot_rollout(images, heat))[3], heat[1])
    found = interpret.token_pca(model, images)
    figure = interpret.plot_token_pca(images, found)
    np.testing.assert_allclose(_pictures(figure)[5], found.rgb[1])
    labels = interpret.segment(model, images)
    masks = np.zeros((2, 16, 32), bool)
    masks[:, 4:9] = True
    figure = interpret.plot_segments(images, labels, masks)
    assert _titles(figure) == ["image", "objects", "true mask"]
    shown = [ax.get_images()[-1].get_array() for ax in figure.axes]
    np.testing.assert_array_equal(shown[4].filled(0), labels[1])
    np.testing.assert_array_equal(shown[5].filled(0), masks[1])


def test_blocks_side_by_side_and_a_written_file(model, images, tmp_path):
    maps = interpret.intermediates(model, images, what="map")
    figure = interpret.plot_intermediates(images, maps)
    assert _titles(figure) == ["image", "map 0", "map 1"]
    figure.savefig(tmp_path / "blocks.png")
    assert (tmp_path / "blocks.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r'`maps` must be the result of `intermediates.*"map"'):
        interpret.plot_intermediates(images, interpret.intermediates(model, images))


@pytest.mark.parametrize("channels_first", [False, True])
def test_grey_images_of_either_layout(channels_first, rng):
    images = rng.uniform(0, 1, (1, 6, 6, 1))
    shown = np.moveaxis(images, -1, 1) if channels_first else images
    (grey, _) = _pictures(interpret.plot_rollout(shown, np.ones((1, 2, 2))))
    np.testing.assert_allclose(grey, images[0, ..., 0], atol=1e-6)


def test_refusals(images):
    with pytest.raises(ValueError, match=r"one map per image. Received: 2 images, 1 maps"):
        interpret.plot_rollout(images, np.ones((1, 2, 4)))
    with pytest.raises(ValueError, match=r"shape \(n, height, width, channels\)"):
        interpret.plot_rollout(images[0], np.ones((1, 2, 4)))


def test_results_show_their_figures_in_a_notebook(model, images):
    mae = CRATEMAE(24, 1, 2, input_shape=(16, 32, 3), patch_size=8, include_preprocessing=False)
    found, measured = interpret.token_pca(model, images), objective.measure(model, images)
    completed = mae.reconstruct(images / 255)
    scores = evaluation.Scores(np.array([0, 1]), np.array([[0, 1], [0, 1]]), classes=2, top=(1,))
    for result in (found, measured, completed, scores):
        assert result._repr_png_().startswith(b"\x89PNG")
        assert len(repr(result)) < 300 and "\n" not in repr(result)
        assert repr(result).startswith(type(result).__name__)
    assert "rgb=array(2, 2, 4, 3)" in repr(found)
    masked, _, pasted, mask = completed
    assert masked.shape == pasted.shape == images.shape and mask.shape == (2, 2, 4)
    assert _titles(completed.plot()) == ["masked", "reconstruction", "pasted"]
    assert len(found.plot(images, most=1).axes) == 3
    assert len(interpret.plot_token_pca(images, found).axes) == 6
    figure = pickle.loads(pickle.dumps(interpret.head_atlas(model, images)))
    assert figure._repr_png_().startswith(b"\x89PNG")  # pyplot is not imported
    many = evaluation.Scores(np.zeros(1, int), np.zeros((1, 1), int), classes=3000, top=(1,))
    assert many._repr_png_() is None  # too much to draw: the text is shown


def test_figures_say_untrained_until_a_model_is_trained(model, images, tmp_path):
    def titles(model):
        figures = (
            interpret.head_atlas(model, images),
            interpret.token_pca(model, images).plot(),
            objective.measure(model, images).plot(),
        )
        return {bool(figure.get_suptitle()) for figure in figures}

    assert titles(model) == {True}
    trained = CRATE.from_config(model.get_config())
    trained.compile("adam", "sparse_categorical_crossentropy")
    trained.fit(images, np.array([0, 1]), verbose=0)
    assert titles(trained) == {False}
    assert titles(fuse(trained)) == {False}
    trained.save_weights(tmp_path / "a.weights.h5")
    config = {**model.get_config(), "weights": tmp_path / "a.weights.h5"}
    assert titles(CRATE(**config)) == {False}


def test_a_legend_covers_no_curve(model, images):
    measured = objective.measure(model, images)
    figure = measured.plot("one", {"other": measured})
    figure.savefig(io.BytesIO(), dpi=50)
    panels = [axes.get_window_extent() for axes in figure.axes]
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "one (untrained)", "other (untrained)",
    ]  # fmt: skip
    assert not any(legend.get_window_extent().overlaps(panel) for panel in panels)
    assert legend.get_window_extent().x1 < figure.bbox.x1 + 2
