"""Replaces random patches by a learned token."""

import keras
from keras import ops

from keras_crate.checks import check_rate, names_arguments
from keras_crate.distributed.replicas import rows_of_replica


@keras.saving.register_keras_serializable(package="keras_crate")
class PatchNoise(keras.layers.Layer):
    """Draws a number in [0, 1) for every patch, in float32 under every policy.

    Args:
        seed: Seed of the numbers. The same seed gives the same sequence of
            numbers on one backend. By default, Keras' global seed decides.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`.

    Returns:
        Tensor of shape `(batch, n)`, with new numbers at each call.

    Example:

    ```python
    noise = keras_crate.layers.PatchNoise(seed=0)(keras.random.normal((2, 196, 384)))
    ```
    """

    @names_arguments
    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed if seed is None else int(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs):
        rows, patches = ops.shape(inputs)[:2]
        return rows_of_replica(lambda rows: self._draw((rows, patches)), rows)

    def _draw(self, shape):
        # Half precision has too few numbers: many patches would have the same.
        return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape[:2], dtype="float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_crate")
class PatchMasking(keras.layers.Layer):
    """Replaces the patches with the largest numbers by a learned token.

    Of n patches, the `int(n (1 - ratio))` with the smallest numbers are kept.

    Args:
        ratio: Share of the patches that are hidden, in [0, 1).
        token_initializer: Initialiser of the token. By default N(0, 0.02).
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`.
        noise: Numbers of shape `(batch, n)`, such as those of `PatchNoise`.

    Returns:
        Tokens of shape `(batch, n, d)`, and the mask of shape `(batch, n)`: 1
        where a patch is hidden, 0 where it is kept.

    Weights: `mask_token` of shape `(1, 1, d)`.

    Raises:
        ValueError: If the ratio is out of range.

    Example:

    ```python
    tokens = keras.random.normal((2, 196, 384))
    noise = keras.random.uniform((2, 196))
    hidden, mask = keras_crate.layers.PatchMasking(0.75)(tokens, noise)
    ```

    Reference:
        He et al., "Masked Autoencoders Are Scalable Vision Learners",
        arXiv:2111.06377; Pai et al., arXiv:2404.02446.
    """

    @names_arguments
    def __init__(self, ratio: float = 0.75, token_initializer=None, **kwargs):
        super().__init__(autocast=False, **kwargs)  # rounded numbers would have other ranks
        self.ratio = check_rate("ratio", ratio)
        if token_initializer is None:
            token_initializer = keras.initializers.RandomNormal(stddev=0.02)
        self.token_initializer = keras.initializers.get(token_initializer)

    def build(self, inputs_shape, noise_shape=None):
        self.mask_token = self.add_weight(
            name="mask_token", shape=(1, 1, inputs_shape[-1]), initializer=self.token_initializer
        )
        self.built = True

    def call(self, inputs, noise):
        return self.hide(inputs, noise, self.ratio)

    def hide(self, inputs, noise, ratio: float):
        """As a call, with another ratio."""
        kept = int(inputs.shape[1] * (1 - ratio))
        # The rank of each number: the argsort of an argsort.
        ranks = ops.argsort(ops.argsort(noise, axis=1), axis=1)
        hidden = ranks >= kept
        inputs = ops.cast(inputs, self.compute_dtype)
        token = ops.cast(self.mask_token, self.compute_dtype)
        outputs = ops.where(hidden[..., None], token, inputs)
        return outputs, ops.cast(hidden, self.variable_dtype)

    def compute_output_spec(self, inputs, noise):
        return (
            keras.KerasTensor(inputs.shape, dtype=self.compute_dtype),
            keras.KerasTensor(inputs.shape[:2], dtype=self.variable_dtype),
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "token_initializer": keras.initializers.serialize(self.token_initializer),
        }
