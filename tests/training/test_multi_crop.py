import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_crate.training.multi_crop import MultiCrop, _sampling


@pytest.mark.parametrize(
    ("box", "size"), [((3.2, 4.1, 11.7, 9.9), (5, 4)), ((0, 0, 6, 7), (9, 12))]
)
def test_a_crop_is_resized_as_by_pillow(rng, box, size):
    """Smaller and larger; `box` is left, top, right, bottom."""
    image = rng.uniform(0, 255, (16, 14)).astype("float32")
    left, top, right, bottom = box
    across, down = (np.array([v], "float32") for v in (right - left, bottom - top))
    rows = _sampling(
        ops.convert_to_tensor([top], "float32"), ops.convert_to_tensor(down), 16, size[0]
    )
    columns = _sampling(
        ops.convert_to_tensor([left], "float32"), ops.convert_to_tensor(across), 14, size[1]
    )
    found = ops.convert_to_numpy(rows)[0] @ image @ ops.convert_to_numpy(columns)[0].T
    expected = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR, box=box)
    # Pillow does not look beyond the box when it enlarges a part of an image.
    np.testing.assert_allclose(found[1:-1, 1:-1], np.asarray(expected)[1:-1, 1:-1], atol=0.5)


def _compiled(layer, shape):
    """The layer as a model: JAX and TensorFlow compile it as a whole, which is faster."""
    images = keras.Input(shape)
    return keras.Model(images, layer(images)).predict_on_batch


def _crops(images, **options):
    options = {"flip": False, "colours": False, **options}
    return _compiled(MultiCrop((8, 8), (4, 4), 3, **options), images.shape[1:])(images)


def test_shapes_areas_and_order():
    """Of images whose pixels are their column: a crop's range of columns is its width."""
    images = np.broadcast_to(np.arange(32, dtype="float32")[:, None], (64, 32, 32, 1)) * 4
    images = images.copy()
    images[32:] += 100  # the second half of the batch
    large, small = _crops(images, global_area=(0.5, 1.0), local_area=(0.1, 0.2))
    assert large.shape == (128, 8, 8, 1) and small.shape == (192, 4, 4, 1)
    for crops, side, (low, high) in ((large, 8, (0.5, 1.0)), (small, 4, (0.1, 0.2))):
        width = (crops[:, 0, -1, 0] - crops[:, 0, 0, 0]) / 4 * side / (side - 1) / 32
        assert width.min() > 0.95 * np.sqrt(low * 3 / 4) and width.max() < 1.05 * min(
            1, np.sqrt(high * 4 / 3)
        )
        assert width.std() > 0.01
        by_crop = crops.reshape(-1, 64, side, side, 1)
        assert (by_crop[:, 32:] >= 100).all() and by_crop[:, :32].max() < 4 * 32


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_within_the_range_and_differ_by_image(rng, channels):
    image = rng.uniform(0, 255, (1, 16, 16, channels)).astype("float32")
    crops, _ = _crops(np.repeat(image, 32, 0), global_area=(1.0, 1.0), colours=True)
    plain, _ = _crops(image, global_area=(1.0, 1.0))
    assert crops.min() >= 0 and crops.max() <= 255.001
    means = crops.mean(axis=(1, 2, 3))
    assert means.std() > 10
    if channels == 3:
        grey = (np.abs(np.diff(crops, axis=-1)).max(axis=(1, 2, 3)) < 1e-3).mean()
        assert 0.02 < grey < 0.5  # 0.2 of 64
    assert abs(means.mean() - plain.mean()) < 40


def test_it_draws_anew_and_by_its_seed(rng):
    images = rng.uniform(0, 255, (2, 16, 16, 3))
    layer = MultiCrop((8, 8), (4, 4), 1)
    crops = _compiled(layer, (16, 16, 3))
    first, second = (crops(images)[0] for _ in range(2))
    assert np.abs(first - second).max() > 1
    assert MultiCrop.from_config(layer.get_config()).get_config() == layer.get_config()
    assert MultiCrop((8, 8), (4, 4), 0, colours=False)(images)[1] is None
