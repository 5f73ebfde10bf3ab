import numpy as np
import pytest
from example_modules import example_module

pytestmark = pytest.mark.any_backend
shapes = example_module("shapes_on_textures")
SHAPES, shapes_on_textures = shapes.SHAPES, shapes.shapes_on_textures


def test_the_same_seed_draws_the_same():
    for first, again in zip(shapes_on_textures(3), shapes_on_textures(3), strict=True):
        np.testing.assert_array_equal(first, again)
    images, _, masks = shapes_on_textures(3, seed=1)
    assert np.abs(images.astype(int) - shapes_on_textures(3)[0]).max() > 50
    assert images.shape == (3, 64, 64, 3) and images.dtype == "uint8"
    assert masks.shape == (3, 64, 64) and masks.dtype == bool


def test_masks_are_of_the_shapes_and_inside_the_images():
    _, labels, masks = shapes_on_textures(300, size=48)
    assert set(labels) == set(range(len(SHAPES)))
    border = np.ones((48, 48), bool)
    border[1:-1, 1:-1] = False
    assert masks[:, border].mean() < 0.01
    # What each shape fills of the circle that it reaches to.
    pi = np.pi
    filled = {"disk": 1, "square": 2 / pi, "triangle": 0.75 * 3**0.5 / pi, "ring": 0.75}
    star = 5 * 0.45 * np.sin(pi / 5)  # ten triangles between a point and a notch
    filled |= {"star": star / pi, "cross": (4 * 0.3 * 0.95 * 2 - 4 * 0.3**2) / pi}
    for label, shape in enumerate(SHAPES):
        of_shape = masks[labels == label]
        corners = np.stack([np.argwhere(m).min(0) for m in of_shape])
        ends = np.stack([np.argwhere(m).max(0) for m in of_shape])
        assert 0.15 * 48 < (ends - corners).mean() < 0.85 * 48
        mean_radius = np.mean(np.random.default_rng(0).uniform(0.22, 0.42, 100000) ** 2)
        expected = filled[shape] * pi * mean_radius
        assert of_shape.mean() == pytest.approx(expected, rel=0.2), shape


def test_the_object_differs_from_its_background():
    images, _, masks = shapes_on_textures(50)
    for image, mask in zip(images.astype(float), masks, strict=True):
        assert np.abs(image[mask].mean(axis=0) - image[~mask].mean(axis=0)).max() > 15


def test_refuses_none():
    with pytest.raises(ValueError, match=r"`count` must be a positive integer. Received: count=0"):
        shapes_on_textures(0)
