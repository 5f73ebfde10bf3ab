"""examples/any_vit.py: a view of a plain Keras ViT, beside a CRATE."""

import inspect
import json

import keras
import numpy as np
import pytest
from compare import assert_close
from example_modules import EXAMPLES, example_module
from marks import compiles_long

from keras_crate import interpret, objective

SCRIPT = EXAMPLES / "any_vit.py"


@pytest.fixture(scope="module")
def example():
    return example_module("any_vit")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 28, 28, 1)).astype("float32")


@compiles_long
def test_the_view_shows_attention_and_rates(example, images):
    vit = example.plain_vit()
    view = example.view_of_vit(vit)
    found = keras.Model(vit.input, [view.blocks[1].inputs, view.blocks[1].half_step])
    inputs, half = found.predict(images, verbose=0)
    query, _, key, _, value, *_ = vit.get_layer("attention_1").get_weights()  # biases are zeros
    queries, keys = (np.einsum("bnd,dhp->bhnp", inputs, w) for w in (query, key))
    products = queries @ keys.swapaxes(-1, -2) / 4
    scores = np.exp(products) / np.exp(products).sum(axis=-1, keepdims=True)
    maps = interpret.attention_maps(view, images, 1, token=2)
    assert_close(maps, scores[:, :, 2, 1:].reshape(3, 4, 4, 4), atol=1e-5)
    (of_patches,) = interpret.intermediates(view, images, [1], "keys")
    assert_close(of_patches.reshape(3, 16, 4, 16).swapaxes(1, 2), keys[:, :, 1:], atol=1e-5)
    measured = objective.measure(view, images, convention="paper")
    bases = value.transpose(1, 0, 2)
    expected = objective.subspace_coding_rate(half, bases).mean()
    assert_close(measured.coding_rate_mean[1], expected, rtol=1e-4, atol=0)
    assert_close(measured.rate_mean[1], objective.coding_rate(half).mean(), rtol=1e-4, atol=0)
    pyramid = interpret.feature_pyramid(view, [1])
    (features,) = interpret.intermediates(view, images, [1], "map")
    assert_close(pyramid.predict(images, verbose=0)["block_1"], features, atol=1e-5)


@pytest.mark.any_backend
def test_the_view_is_short_and_its_mistakes_are_told(example, images):
    assert len(inspect.getsource(example.view_of_vit).splitlines()) <= 14
    view = example.view_of_vit(example.plain_vit())
    with pytest.raises(ValueError, match=r"grid of 4 by 5 patches make 21 tokens. .* 17 tokens"):
        interpret.ModelView(view.model, view.blocks, grid=(4, 5))
    with pytest.raises(ValueError, match="`blocks` must have a `BlockView` for each block"):
        interpret.ModelView(view.model, [], grid=(4, 4))
    with pytest.raises(ValueError, match=r"takes a batch of images of shape \(batch, 28, 28, 1\)"):
        interpret.rollout(view, images[:, :14])


@compiles_long
def test_the_figures(example, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    options = ["--output", str(tmp_path), "--epochs", "1", "--limit", "128"]
    monkeypatch.setattr("sys.argv", ["any_vit.py", *options])
    example.main()
    record = json.loads((tmp_path / "any_vit.json").read_text())
    assert record["ViT"]["paper"]["sparsity_mean"] == [0] * 4
    assert min(record["CRATE"]["paper"]["sparsity_mean"]) > 0.2
    for name in ("authors", "paper", "heads"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
