import json
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from marks import compiles_long

import keras_crate
from keras_crate.data import open_data
from keras_crate.training import Recipe, SimDINO, load_recipe, pretrain
from keras_crate.training.model_to_train import adapt_model

SMALL = {"local_crops": 2, "hidden_dim": 16, "projection_dim": 8, "colours": False}


def _encoder(**options):
    shape = {"input_shape": (8, 8, 1), "patch_size": 2, "pooling": "avg"}
    return keras_crate.CRATE(16, 1, 2, **shape, include_top=False, **options)


@pytest.fixture(scope="module")
def digits():
    return keras_crate.data.load("digits").train.images


def test_it_learns_to_tell_images_apart(digits):
    """Features that were nearly equal spread. Small positions and coefficient: it goes faster."""
    encoder = _encoder()
    positions = encoder.get_layer("token_embedding").positions
    positions.assign(0.1 * positions)
    model = SimDINO(encoder, **{**SMALL, "hidden_dim": 64}, coefficient=0.2, momentum=0.9)
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(digits[:256], batch_size=64, epochs=6, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 0.1
    assert history["coding_rate"][-1] > 1.3 * history["coding_rate"][1]
    assert 0.2 < history["compression"][-1] < 0.9
    assert set(history) == {"loss", "compression", "coding_rate"}
    evaluated = model.evaluate(digits[:64], verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(history["loss"][-1], abs=0.5)
    student, teacher = model.predict(digits[:6], verbose=0, batch_size=4)
    assert student.shape == (6, 4, 8) and teacher.shape == (6, 2, 8)
    np.testing.assert_allclose(np.linalg.norm(student, axis=-1), 1, rtol=1e-5)


@pytest.mark.any_backend
def test_its_loss_is_of_all_crops_and_the_large_ones(digits):
    from keras_crate.objective import simdino_loss

    model = SimDINO(_encoder(), **SMALL, eps=0.1, coefficient=2.0, smooth=False)
    student, teacher = model(digits[:6])
    loss = model.compute_loss(y_pred=(student, teacher))
    arrays = (ops.convert_to_numpy(z).transpose(1, 0, 2) for z in (student, teacher))
    assert float(loss) == pytest.approx(simdino_loss(*arrays, 0.1, 2.0, False).total, rel=1e-4)


@pytest.mark.any_backend
def test_the_teacher_is_the_moving_average(digits):
    """With a momentum that rises as a cosine, in NumPy; nothing else trains the teacher."""
    model = SimDINO(_encoder(), **SMALL, momentum=0.5)
    model.compile(keras.optimizers.SGD(0.5))
    students, teachers = [], []

    def weights(*parts):
        return np.concatenate([w.ravel() for part in parts for w in part.get_weights()])

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if keras.backend.backend() == "jax":
                model.jax_state_sync()
            students.append(weights(model.student, model.projection))
            teachers.append(weights(model.teacher, model.teacher_projection))

    expected = weights(model.student, model.projection)
    model.fit(digits[:80], batch_size=20, epochs=2, verbose=0, callbacks=[Watch()])
    assert len(students) == 8
    for k in range(8):
        if k:
            momentum = 1 - 0.5 * (1 + np.cos(np.pi * (k - 1) / 8)) / 2
            expected = momentum * expected + (1 - momentum) * students[k - 1]
        np.testing.assert_allclose(teachers[k], expected, rtol=1e-5, atol=1e-6)
    assert np.abs(students[-1] - teachers[-1]).max() > 1e-3
    assert not model.teacher.trainable_variables
    encoder = model.encoder()
    np.testing.assert_array_equal(encoder.get_weights()[0], model.teacher.get_weights()[0])


@compiles_long
def test_saved_and_loaded_it_goes_on(digits, tmp_path):
    model = SimDINO(_encoder(), **SMALL, local_size=4)
    model.compile("adamw")
    model.fit(digits[:32], batch_size=16, verbose=0)
    model.save(tmp_path / "simdino.keras")
    loaded = keras.saving.load_model(tmp_path / "simdino.keras")
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    assert json.dumps(loaded.get_config()) == json.dumps(model.get_config())
    loaded.fit(digits[:32], batch_size=16, verbose=0)
    features = loaded.encoder().predict(digits[:4], verbose=0)
    assert features.shape == (4, 16)


@pytest.mark.any_backend
def test_encoders_of_other_packages(digits):
    layers = keras.layers
    parts = [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization()]
    flexible = keras.Sequential([*parts, layers.GlobalAveragePooling2D()])
    flat = keras.Sequential([*parts, layers.Flatten()])
    for encoder, size, used in (
        (flexible, 6, (6, 6)),
        (flexible, None, (8, 8)),
        (flat, None, (8, 8)),
    ):
        model = SimDINO(encoder, **SMALL, local_size=size)
        assert model.crops.local_size == used
        model.compile("sgd")
        model.fit(digits[:8], batch_size=4, verbose=0)
        moving = encoder.layers[1].moving_mean, model.teacher.layers[1].moving_mean
        ours, theirs = map(ops.convert_to_numpy, moving)
        assert (ours != 0).all() and 0 < np.abs(theirs).max() < np.abs(ours).max()
    with pytest.raises(ValueError, match=r"do not accept small crops of 6x6 pixels"):
        SimDINO(flat, **SMALL, local_size=6)


@pytest.mark.any_backend
def test_collapse_is_said_once(digits):
    encoder = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4, "sigmoid")]
    )
    encoder.layers[-1].kernel.assign(np.zeros((64, 4)))
    encoder.trainable = False  # all images have the same features
    model = SimDINO(encoder, **SMALL)
    model.compile("sgd")
    message = r"The features collapse: their coding rate is 2\.\d\d nats, and 2\.54 is that of"
    for epochs in (1, 4):
        with pytest.warns(UserWarning, match=message) as caught:
            model.fit(digits[:64], epochs=epochs, verbose=0)
        assert sum("collapse" in str(w.message) for w in caught) == 1
    spread = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model = SimDINO(spread, **{**SMALL, "hidden_dim": 256})
    model.compile("sgd")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(digits[:64], verbose=0)


@pytest.mark.any_backend
def test_larger_images_and_sizes_of_small_crops():
    encoder = keras_crate.CRATE(16, 1, 2, input_shape=(224, 224, 3), include_top=False)
    model = SimDINO(encoder, **SMALL, input_shape=(256, 300, 3))
    assert model.crops.local_size == (96, 96) and model.input_shape == (None, 256, 300, 3)
    assert SimDINO(_encoder(), **SMALL).crops.local_size == (4, 4)
    images = np.zeros((2, 256, 300, 3), "uint8")
    assert model(images)[0].shape == (2, 4, 8)


@compiles_long
def test_a_run_and_what_it_is_good_for(tmp_path, monkeypatch):
    """By the paper's recipe for a size; then probed, and adapted to other trainings."""
    from keras_crate import models
    from keras_crate_cli import main

    monkeypatch.setattr(
        models, "CRATETiny", lambda **settings: keras_crate.CRATE(16, 2, 2, **settings)
    )
    recipe = load_recipe(
        "imagenet1k-simdino", epochs=1, image_size=8, batch_size=32,
        simdino={**SMALL, "eps": 0.05, "input_shape": [10, 10, 1]},
    )  # fmt: skip
    out = tmp_path / "out"
    run = pretrain("tiny", "digits", out, recipe=recipe, patch_size=4, limit=64, verbose=0)
    assert run.best is None and {"coding_rate", "compression"} <= set(run.history)
    model = keras.saving.load_model(run.file)
    assert model.student.settings.drop_path_rate == 0.1 and model.settings.eps == 0.05
    assert model.optimizer.weight_decay == 0.04
    assert not (out / "evaluation.json").exists()  # it is in the encoder
    assert model.encoder().settings.evaluation["resize"] == 9  # 8 / 0.875
    record = tmp_path / "probe.json"
    words = ["probe", str(run.file), "digits", "--limit", "100", "--json", str(record)]
    assert main([*words, "--knn", "5", "--linear"]) == 0
    classifier = adapt_model(model, Recipe(), open_data("digits"))  # as `finetune` does
    assert classifier.output_shape == (None, 10)
    token = classifier.get_layer("token_embedding").class_token
    np.testing.assert_array_equal(
        ops.convert_to_numpy(token), model.teacher.get_layer("token_embedding").get_weights()[0]
    )
    other = adapt_model(model, recipe.with_changes(drop_path_rate=0.2), None)
    assert other.student.settings.drop_path_rate == 0.2
    for part in ("student", "teacher", "projection", "teacher_projection"):
        pair = (getattr(m, part).get_weights() for m in (other, model))
        for a, b in zip(*pair, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.any_backend
def test_decay_leaves_out_norms_and_biases():
    from keras_crate.training.optimizers import build_optimizer

    model = SimDINO(_encoder(), **SMALL)
    optimizer = build_optimizer(load_recipe("imagenet1k-simdino"), model, 10)
    optimizer.build(model.trainable_variables)
    decayed = {v.path for v in model.trainable_variables if optimizer._use_weight_decay(v)}
    assert any("hidden_1/kernel" in path for path in decayed)
    assert not [path for path in decayed if path.endswith(("bias", "gamma", "beta"))]


@pytest.mark.any_backend
def test_bad_input(digits):
    crate = keras_crate.CRATE
    shape = {"input_shape": (8, 8, 1), "patch_size": 4}
    mae = keras_crate.CRATEMAE(16, 1, 2, **shape)
    for encoder, options, message in (
        (crate(16, 1, 2, **shape), {}, r"one vector an image.*include_top=False"),
        (mae, {}, r"of a masked autoencoder, take `encoder\(\)`"),
        (crate(16, 1, 2, **shape, include_top=False, pooling=None), {}, "one vector an image"),
        ("base", {}, "must be a Keras model. Received: str"),
        (_encoder(), {"local_size": 1}, r"a multiple of the patch size, \(2, 2\) pixels"),
        (_encoder(), {"local_size": 5}, "a multiple of the patch size"),
        (_encoder(), {"local_crops": -1}, "`local_crops` must be a positive integer"),
        (_encoder(), {"momentum": 1.0}, r"`momentum` must be in \[0, 1\)"),
        (_encoder(), {"local_area": (0.0, 0.4)}, "`local_area` must be a pair"),
        (_encoder(), {"input_shape": (16, 16, 3)}, "as many channels as the encoder, 1"),
    ):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            SimDINO(encoder, **options)
    with pytest.raises(
        TypeError, match=r"has no argument `local_crop`. Did you mean 'local_crops'"
    ):
        SimDINO(_encoder(), local_crop=2)
    model = SimDINO(_encoder(), **SMALL)
    with pytest.raises(ValueError, match="compile it without `loss`"):
        model.compile("adam", loss="mse")
    model.compile("adam")
    labels = np.zeros(8, int)
    for call, message in (
        (lambda: model.fit(digits[:8], labels), r"without labels.*labels of shape \(8,\)"),
        (lambda: model.fit((digits[:8], labels)), "without labels.*a pair"),
        (lambda: model.evaluate(digits[:8], labels), "without labels"),
        (lambda: model.fit(digits[:1]), "two or more. Received: 1 images"),
        (lambda: model.fit(digits[:8], batch_size=1), "two or more"),
        (
            lambda: model.fit(digits[:33]),
            "33 images with batch_size=32, which makes a batch of one",
        ),
        (lambda: model(digits[:1]), "a batch of one image"),
        (lambda: model(digits[:4, :4]), "a batch of images of shape"),
    ):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            call()
    assert int(ops.convert_to_numpy(model.steps)[0]) == 0  # nothing was trained
