from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_crate.objective import simdino_loss
from keras_crate.objective.rates import coding_rate

GOLDEN = np.load(Path(__file__).parents[1] / "golden/simdino_loss.npz")


def _golden(unit):
    student, teacher = (GOLDEN[k].reshape(-1, 6, 16) for k in ("student", "teacher"))
    if unit:
        student, teacher = (
            z / np.linalg.norm(z, axis=-1, keepdims=True) for z in (student, teacher)
        )
    return student, teacher


@pytest.mark.parametrize("kind", ["raw", "unit"])
@pytest.mark.parametrize("smooth", [False, True])
def test_it_is_the_authors(kind, smooth):
    student, teacher = _golden(kind == "unit")
    eps = 0.5 if kind == "raw" else 0.05
    expected = GOLDEN[f"{kind}_{int(smooth)}"]
    for convert in (np.asarray, ops.convert_to_tensor):
        loss = simdino_loss(convert(student), convert(teacher), eps, smooth=smooth)
        total, compression, rate, gamma = (float(ops.convert_to_numpy(v)) for v in loss)
        found = total, compression, gamma * rate
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def _gradient(student, teacher):
    """The gradient for the student's features, in float64."""

    def loss(z):
        return simdino_loss(z, ops.convert_to_tensor(teacher, "float64")).total

    if keras.backend.backend() == "torch":
        z = ops.convert_to_tensor(student, "float64").requires_grad_()
        loss(z).backward()
        return z.grad.numpy()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        z = tf.constant(student, "float64")
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(z)
        return tape.gradient(value, z).numpy()
    import jax
    import jax.experimental

    # Older versions have it in `jax.experimental` only.
    with (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64(True):
        return np.asarray(jax.grad(loss)(jax.numpy.asarray(student, "float64")))


def test_its_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(4, 5, 6)), rng.normal(size=(2, 5, 6))
    numeric, step = np.zeros_like(student), 1e-6
    for index in np.ndindex(student.shape):
        moved = [student.copy(), student.copy()]
        for z, sign in zip(moved, (1, -1), strict=True):
            z[index] += sign * step
        high, low = (simdino_loss(z, teacher).total for z in moved)
        numeric[index] = (high - low) / (2 * step)
    np.testing.assert_allclose(_gradient(student, teacher), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rank", [1, 3, 64])
def test_the_rate_in_float32_is_exact_for_features_of_length_one(rank):
    """From collapsed features to spread ones; `coding_rate` has eps squared."""
    rng = np.random.default_rng(rank)
    z = rng.normal(size=(2, 64, rank)) @ rng.normal(size=(rank, 256))
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    for eps in (0.01, 0.05):
        expected = coding_rate(z, np.sqrt(eps)).mean()
        z32 = ops.convert_to_tensor(z, "float32")
        found = float(ops.convert_to_numpy(simdino_loss(z32, z32, eps).coding_rate))
        assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.any_backend
def test_bad_input():
    z = np.ones((3, 4, 5))
    for arguments, message in (
        ((z[:, :1], z[:2, :1]), "a batch must hold two or more. Received: one image"),
        ((z[:1], z[:1]), "two crops or more"),
        ((z[:2], z), "the same for the first crops"),
        ((z, z[:2, :3]), r"student \(3, 4, 5\), teacher \(2, 3, 5\)"),
        ((z, z[:2], 0.0), "`eps` must be a number above 0"),
        ((z, z[:2], 0.1, -1), "`coefficient` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            simdino_loss(*arguments)


def test_features_that_are_not_finite(rng):
    """The loss of tensors is NaN, as a training that diverges expects, and no error of Cholesky."""
    z = rng.normal(size=(3, 4, 5)).astype("float32")
    z[1, 2, 3] = np.nan
    loss = simdino_loss(*map(keras.ops.convert_to_tensor, (z, z[:2])))
    assert all(np.isnan(keras.ops.convert_to_numpy(x)) for x in (loss.total, loss.coding_rate))
    with pytest.raises(ValueError, match=r"in 1 of 3 sets, at index 1$"):
        simdino_loss(z, z[:2])
