"""The sparse rate reduction as a term of the training loss."""

import os
import warnings

import keras
from keras import ops

from keras_crate.checks import check_not_negative, names_arguments
from keras_crate.keras_internals import compile_steps_anew
from keras_crate.models.blocks import Block, check_bases, chosen_blocks
from keras_crate.objective.rates import check_eps, rate_reduction

# Without this flag, XLA on a CPU may hang when it runs several matrix decompositions
# at once (seen on two cores).
XLA_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"


class SparseRateReduction:
    """Adds the sparse rate reduction of blocks to a model's training loss.

    The loss gains `-weight` times the mean, over images and blocks, of
    `R(Z) - R^c(Z | U) - penalty |Z|_1`, in nats, in the paper's convention. Z
    are a block's output tokens and U its subspaces; the term trains both. It
    expands the tokens as a whole, and compresses and sparsifies them in the
    subspaces. `|Z|_1` replaces `|Z|_0`, which has no gradient.

    Under JAX on a CPU, XLA may stall. `attach` then warns and names the
    environment variable that prevents it.

    Args:
        weight: Factor of the term, >= 0. With 0, the default, `attach` does
            not change the model. The term is of the order of hundreds and
            grows with the number of tokens: start with 1e-4.
        penalty: lambda, >= 0.
        eps: Precision of the rates, > 0. By default 0.5.
        layers: List of numbers of blocks. Negative numbers count from the
            last. By default all.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    ```python
    regularizer = keras_crate.objective.SparseRateReduction(weight=1e-4)
    regularizer.attach(model)
    model.compile("adamw", "sparse_categorical_crossentropy")
    model.fit(images, labels, verbose=0)
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 2.1, for the objective; Hu, Zou
        and Xu, arXiv:2411.17182, for its use as a regulariser.
    """

    @names_arguments
    def __init__(
        self,
        weight: float = 0.0,
        penalty: float = 0.1,
        eps: float | None = None,
        layers: list[int] | None = None,
    ):
        self.weight = check_not_negative("weight", weight)
        self.penalty = check_not_negative("penalty", penalty)
        self.eps = check_eps(eps, "paper")
        self.layers = layers

    def attach(self, model: keras.Model) -> keras.Model:
        """Adds the term to the model's training loss. Replaces a term attached before.

        The term is not saved or cloned with the model: attach it again.

        Args:
            model: Any model of the package, or a functional model with the
                layers of its blocks, compiled or not.

        Returns:
            The same model.

        Raises:
            ValueError: If the model has no such blocks, an operator has no
                `subspace_bases()`, or a block has an activity regulariser.
        """
        # By number, since the list may name a block twice.
        chosen = {block.number: block for block in chosen_blocks(model, self.layers)}.values()
        for block in chosen:
            check_bases(block.compress)
            other = block.last.activity_regularizer
            if other is not None and not isinstance(other, _BlockTerm):
                raise ValueError(
                    f"{block.last.name!r} has an activity regulariser, {type(other).__name__}, "
                    "which this regulariser would replace. Set it to None first."
                )
        self.detach(model)
        if self.weight:
            _warn_of_stalls()
            for block in chosen:
                block.last.activity_regularizer = _BlockTerm(self, block, len(chosen))
        return model

    @staticmethod
    def detach(model: keras.Model) -> keras.Model:
        """Removes the term from the model's training loss. Returns the model."""
        for layer in model.layers:
            if isinstance(layer.activity_regularizer, _BlockTerm):
                layer.activity_regularizer = None
        compile_steps_anew(model)
        return model


def _warn_of_stalls() -> None:
    if keras.backend.backend() != "jax" or XLA_FLAG in os.environ.get("XLA_FLAGS", ""):
        return
    import jax

    if jax.default_backend() == "cpu":
        warnings.warn(
            "XLA may stall when it trains with SparseRateReduction on a CPU. If it does, start "
            f"Python with the environment variable XLA_FLAGS={XLA_FLAG}, or use another backend.",
            stacklevel=3,
        )


@keras.saving.register_keras_serializable(package="keras_crate")
class _BlockTerm(keras.regularizers.Regularizer):
    """One block's part of the term, attached to the block's last layer."""

    def __init__(self, settings=None, block: Block | None = None, blocks: int = 1):
        self.settings, self.block, self.blocks = settings, block, blocks

    def __call__(self, tokens):
        if self.settings is None:  # in a clone
            return ops.zeros(())
        tokens = ops.cast(tokens, "float32")
        bases = self.block.compress.subspace_bases()
        reduction = rate_reduction(tokens, bases, self.settings.eps)
        reduction -= self.settings.penalty * ops.sum(ops.abs(tokens), axis=(-2, -1))
        # Added here: some versions of Keras divide what an activity regulariser returns by
        # the number of images.
        self.block.last.add_loss(-self.settings.weight / self.blocks * ops.mean(reduction))
        return ops.zeros(())

    def get_config(self) -> dict:
        return {}
