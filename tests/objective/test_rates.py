from importlib.metadata import version

import keras
import numpy as np
import oracle
import pytest
from compare import assert_close
from layer_checks import gradients

from keras_crate import objective

JAX_0_6 = keras.backend.backend() == "jax" and version("jax").startswith("0.6.")


def _subspaces(rng, heads=3, dim=12, p=4):
    return rng.normal(size=(heads, dim, p))


@pytest.mark.parametrize("tokens", [5, 30])  # fewer than the width, and more
@pytest.mark.parametrize("eps", [0.5, 0.1])
def test_coding_rate_agrees_with_eigenvalues(tokens, eps, rng):
    z = rng.normal(size=(2, tokens, 12))
    expected = oracle.coding_rate(z, eps)
    assert_close(objective.coding_rate(z, eps), expected, atol=1e-9)
    tensor = keras.ops.convert_to_tensor(z, "float32")
    assert_close(objective.coding_rate(tensor, eps), expected, atol=0, rtol=1e-5)


def test_subspace_rate_of_the_paper_is_a_sum_over_orthonormal_bases(rng):
    z, u = rng.normal(size=(2, 9, 12)), _subspaces(rng)
    bases = [np.linalg.qr(basis)[0] for basis in u]
    expected = sum(oracle.coding_rate(z @ basis, 0.5) for basis in bases)
    assert_close(objective.subspace_coding_rate(z, u), expected, atol=1e-9)
    tensor = keras.ops.convert_to_tensor(z, "float32")
    found = objective.subspace_coding_rate(tensor, keras.ops.convert_to_tensor(u, "float32"))
    assert_close(found, expected, atol=0, rtol=1e-5)


def _low_rank(rank, rng):
    z = rng.normal(size=(17, rank)) @ rng.normal(size=(rank, 64)) / np.sqrt(rank)
    return z.astype("float32")


def _exact(z, eps=0.5):
    """Rate and gradient in float64, by singular values."""
    u, values, vt = np.linalg.svd(z.astype("float64"), full_matrices=False)
    scale = z.shape[1] / (len(z) * eps**2)
    gradient = (u * (scale * values / (1 + scale * values**2))) @ vt
    return np.log1p(scale * values**2).sum() / 2, gradient


@pytest.mark.parametrize("rank", [1, 2, 17])
def test_tokens_of_any_rank_and_length(rank, rng):
    """Also compiled, and with the gradient; where the product `Z Z^T` would lose all digits."""
    inputs = keras.Input((17, 64))
    compiled = keras.Model(inputs, keras.layers.Lambda(objective.coding_rate)(inputs))
    for length in (1e-8, 1e-3, 1, 8, 100, 1e4, 1e8):
        z = length * _low_rank(rank, rng)
        rate, gradient = _exact(z)
        assert_close(objective.coding_rate(z), rate, atol=1e-12, rtol=1e-6)
        (found,) = gradients(lambda x: keras.ops.sum(objective.coding_rate(x)), z)
        assert np.isfinite(found).all()
        rates = (
            objective.coding_rate(keras.ops.convert_to_tensor(z)),
            compiled.predict(z[None], verbose=0)[0],
        )
        for in_float32 in map(keras.ops.convert_to_numpy, rates):
            if rank == 17 or length <= 100:
                assert_close(in_float32, rate, atol=1e-5, rtol=2e-4)
            else:  # float32 rounds these tokens to another rank
                assert np.isfinite(in_float32) and in_float32 > 0.9 * rate
        if rank == 17 or length < 1:
            assert_close(found, gradient, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 by default")
def test_tensors_of_float64_stay_exact(rng):
    z, u = 1e4 * _low_rank(2, rng).astype("float64"), _subspaces(rng, dim=64)
    tensor = keras.ops.convert_to_tensor(z, "float64")
    assert_close(objective.coding_rate(tensor), objective.coding_rate(z), atol=1e-6)
    for convention in ("paper", "authors"):
        found, expected = (
            objective.subspace_coding_rate(a, u, convention=convention) for a in (tensor, z)
        )
        assert_close(found, expected, atol=1e-6)


@pytest.mark.parametrize("how_dependent", [0.0, 1e-9, 1e-2])
def test_bases_that_are_nearly_dependent(how_dependent, rng):
    z, u = rng.normal(size=(9, 12)), _subspaces(rng)
    u[1, :, 1] = u[1, :, 0] + how_dependent * u[1, :, 1]
    bases = [np.linalg.qr(basis)[0] for basis in u]
    if not how_dependent:
        bases[1] = np.linalg.qr(u[1][:, [0, 2, 3]])[0]  # what they span
        bases[1] = np.pad(bases[1], ((0, 0), (0, 1)))
    expected = sum(oracle.coding_rate(z @ basis, 0.5) for basis in bases)
    atol = 1e-4 if how_dependent == 0 else 1e-7
    assert_close(objective.subspace_coding_rate(z, u), expected, atol=atol)


def test_bases_of_zeros_span_nothing(rng):
    z, u = rng.normal(size=(9, 12)), _subspaces(rng)
    others = objective.subspace_coding_rate(z, u[[0, 2]])
    u[1] = 0
    for convention, expected in (("paper", others), ("authors", None)):
        found = objective.subspace_coding_rate(z, u, convention=convention)
        if expected is not None:
            assert_close(found, expected, atol=1e-9)
        assert_close(objective.subspace_coding_rate(z, 0 * u, convention=convention), 0, atol=0)

        def rate(tokens, bases, convention=convention):
            return objective.subspace_coding_rate(tokens, bases, convention=convention)

        assert_close(rate(*map(keras.ops.convert_to_tensor, (z, u))), found, atol=1e-4)
        for gradient in gradients(rate, z.astype("float32"), u.astype("float32")):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_the_authors_rate_does_not_depend_on_the_tokens_lengths(length, rng):
    z, u = rng.normal(size=(9, 12)), _subspaces(rng)
    expected = objective.subspace_coding_rate(z, u, convention="authors")
    tensor = keras.ops.convert_to_tensor((length * z).astype("float32"))
    for tokens, atol in ((length * z, 1e-9), (tensor, 1e-4)):
        found = objective.subspace_coding_rate(tokens, u, convention="authors")
        assert_close(found, expected, atol=atol)


def test_fewer_tokens_than_heads(rng):
    z, u = rng.normal(size=(4, 2, 12)), _subspaces(rng, heads=6, p=2)
    for tokens in (z, z[:, :1]):
        bases = [np.linalg.qr(basis)[0] for basis in u]
        expected = sum(oracle.coding_rate(tokens @ basis, 0.5) for basis in bases)
        assert_close(objective.subspace_coding_rate(tokens, u), expected, atol=1e-9)


def test_subspace_rate_of_the_authors(rng):
    z, u = rng.normal(size=(2, 9, 12)), _subspaces(rng)
    expected = 0
    for basis in u:
        w = z @ basis
        w /= np.linalg.norm(w, axis=-1, keepdims=True)
        expected = expected + oracle.coding_rate(w, np.sqrt(0.01))  # eps is not squared there
    found = objective.subspace_coding_rate(z, u, convention="authors")
    assert_close(found, expected, atol=1e-9)


def test_the_whole_space_as_one_subspace_leaves_nothing_to_gain(rng):
    z = rng.normal(size=(2, 9, 12))
    assert_close(objective.rate_reduction(z, rng.normal(size=(1, 12, 12))), np.zeros(2), atol=1e-9)


def test_incoherent_subspaces_gain(rng):
    """Tokens spread over two orthogonal planes: coding each plane apart is cheaper."""
    basis = np.linalg.qr(rng.normal(size=(12, 4)))[0]
    u = np.stack([basis[:, :2], basis[:, 2:]])
    z = np.concatenate([rng.normal(size=(20, 2)) @ plane.T for plane in u])
    mixed = rng.normal(size=(40, 12))
    assert objective.rate_reduction(z, u) > 0
    assert objective.rate_reduction(mixed, u) > objective.rate_reduction(z, u)


def test_sparsity_and_the_objective(rng):
    z, u = np.maximum(rng.normal(size=(2, 9, 12)), 0), _subspaces(rng)
    assert_close(objective.sparsity(z), (z == 0).mean(axis=(1, 2)), atol=1e-12)
    expected = objective.rate_reduction(z, u) - 0.3 * (z != 0).sum(axis=(1, 2))
    found = objective.sparse_rate_reduction(z, u, penalty=0.3)
    assert_close(found, expected, atol=1e-9)
    tensors = [keras.ops.convert_to_tensor(a, "float32") for a in (z, u)]
    assert_close(objective.sparse_rate_reduction(*tensors, penalty=0.3), expected, 0, rtol=1e-4)


def test_gradient_is_a_finite_difference(rng):
    z, u = rng.normal(size=(6, 12)), _subspaces(rng)

    def rate(tokens, bases):
        return keras.ops.sum(objective.rate_reduction(tokens, bases))

    (found, _) = gradients(rate, z.astype("float32"), u.astype("float32"))
    direction = rng.normal(size=z.shape)
    h = 1e-5
    ahead, behind = (objective.rate_reduction(z + s * h * direction, u) for s in (1, -1))
    assert_close((found * direction).sum(), (ahead - behind) / (2 * h), atol=1e-2, rtol=1e-3)


def test_gradient_at_a_token_of_zeros(rng):
    z, u = rng.normal(size=(6, 12)), _subspaces(rng)
    z[2] = 0

    def rate(tokens, bases):
        return objective.subspace_coding_rate(tokens, bases, convention="authors")

    for gradient in gradients(rate, z.astype("float32"), u.astype("float32")):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_single(dtype, rng):
    z = keras.ops.cast(keras.ops.convert_to_tensor(rng.normal(size=(9, 12))), dtype)
    rate = objective.coding_rate(z)
    assert keras.backend.standardize_dtype(rate.dtype) == "float32"


@pytest.mark.parametrize("eps", [0, -1])
def test_refuses_eps_that_is_not_positive(eps):
    with pytest.raises(ValueError, match=f"`eps` must be a number above 0. Received: eps={eps}"):
        objective.coding_rate(np.ones((3, 2)), eps)


def test_refuses_another_convention_and_shape():
    with pytest.raises(ValueError, match=r"`tokens` must have shape \(..., n, d\).*\(5,\)"):
        objective.coding_rate(np.ones(5))
    with pytest.raises(ValueError, match=r"at least one token. Received: shape \(0, 4\)"):
        objective.coding_rate(np.ones((0, 4)))
    with pytest.raises(ValueError, match="`penalty` must be a number of 0 or more"):
        objective.sparse_rate_reduction(np.ones((3, 2)), np.ones((1, 2, 2)), penalty=-1)
    with pytest.raises(ValueError, match=r"`convention` must be one of .*'mixed'"):
        objective.subspace_coding_rate(np.ones((3, 2)), np.ones((1, 2, 2)), convention="mixed")
    with pytest.raises(ValueError, match=r"subspaces \(1, 3, 2\), tokens \(3, 2\)"):
        objective.subspace_coding_rate(np.ones((3, 2)), np.ones((1, 3, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sets_that_are_not_finite_are_named(value, rng):
    """Arrays are refused. In tensors, which a training step may have, these rates alone are NaN."""
    z, u = rng.normal(size=(3, 5, 12)), _subspaces(rng)
    finite = objective.coding_rate(z)
    z[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"in 1 of 3 sets, at index 1$"):
        objective.coding_rate(z)
    with pytest.raises(ValueError, match=r"in the set$"):
        objective.subspace_coding_rate(z[1], u)
    tensor = keras.ops.convert_to_tensor(z.astype("float32"))
    rates = keras.ops.convert_to_numpy(objective.coding_rate(tensor))
    assert_close(rates[[0, 2]], finite[[0, 2]], atol=1e-4)
    assert np.isnan(rates[1])
    for convention in ("paper", "authors"):
        rates = objective.subspace_coding_rate(tensor, u, convention=convention)
        rates = keras.ops.convert_to_numpy(rates)
        assert np.isfinite(rates).tolist() == [True, False, True]
        assert np.isnan(rates[1]) or JAX_0_6  # it gives infinity


@pytest.mark.parametrize("rank", [1, 3])
def test_low_rank_against_singular_values(rank, rng):
    """Tokens whose numbers float32 holds exactly, so that their rank is exact too."""
    z = rng.integers(-3, 4, size=(17, rank)) @ rng.integers(-3, 4, size=(rank, 64)) / 32.0
    values = np.linalg.svd(z, compute_uv=False)[:rank]
    for scale, in_float32 in ((2.0**0, 1e-5), (2.0**7, 3e-4), (2.0**13, 2e-2), (2.0**27, None)):
        rate = np.log1p(64 / (17 * 0.5**2) * (scale * values) ** 2).sum() / 2
        assert_close(objective.coding_rate(scale * z), rate, atol=0, rtol=1e-6)
        if in_float32:
            tensor = keras.ops.convert_to_tensor((scale * z).astype("float32"))
            assert_close(objective.coding_rate(tensor), rate, atol=0, rtol=in_float32)
