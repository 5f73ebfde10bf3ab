"""Measures compression and sparsity at every block of a model."""

import collections
from collections.abc import Iterable

import keras
import numpy as np

from keras_crate.checks import check_choice, check_not_negative, names_arguments
from keras_crate.layers.folded_norm import FoldedNorm
from keras_crate.models.blocks import check_bases
from keras_crate.models.derived import derived
from keras_crate.models.inside import Inside
from keras_crate.models.model_view import BlockView, ModelView
from keras_crate.models.untrained import is_untrained
from keras_crate.models.view_of import view_of
from keras_crate.objective.layer_measurements import MEASURED_AT, LayerMeasurements
from keras_crate.objective.rates import (
    check_eps,
    coding_rate,
    sparse_rate_reduction,
    sparsity,
    subspace_coding_rate,
)


@names_arguments
def measure(
    model: keras.Model | ModelView,
    images,
    batch_size: int = 32,
    convention: str = "authors",
    eps: float | None = None,
    penalty: float = 0.1,
    verbose: int = 0,
) -> LayerMeasurements:
    """Measures compression and sparsity at every block of a model.

    Compression is the coding rate R^c of tokens against the block's subspaces.
    The tokens are the block's input `LN(Z)` in the authors' convention, and the
    half-step `Z + MSSA(LN(Z))` in the paper's. Sparsity is the fraction of exact
    zeros after the operator that sparsifies, or in the codes inside it, as in
    `OvercompleteISTA`.

    The paper's convention adds the rate R and the rate reduction R - R^c at the
    half-step, and the objective of the block's output. (The output of a
    CRATE-alpha's block is not its sparse codes. It has few zeros, so |Z|_0 is of
    little use there.)

    For a ViT, each head's basis is the kernel of its value projection, without bias. A
    head combines only these coordinates of the tokens. A ViT has no operator that
    sparsifies. The zeros of the block's output are counted instead; usually there are
    none. All tokens are measured, also class, distillation and register tokens.

    Args:
        model: Any model of the package, with any operators, or a functional
            model with the layers of its blocks (`block_0_mssa`, ...). For a
            `CRATEMAE`, which hides patches at random, pass `model.encoder()`.
            Or a ViT: KerasHub's `ViTBackbone`, `DeiTBackbone` or
            `DINOV2Backbone`, a classifier built on one, or an
            `interpret.ModelView`.
        images: Array of shape `(n, *input_shape)`, n >= 1, or an iterable of
            batches: a `tf.data.Dataset`, a `PyDataset`, a `DataLoader`, a
            generator. One batch is in memory at a time. A batch is an array,
            or a tuple that starts with one. KerasHub's classifiers prepare the
            images with their preprocessor, as in `predict`.
        batch_size: Number of images of an array in a batch.
        convention: `"authors"` or `"paper"`; see
            `subspace_coding_rate`.
        eps: Precision of the coding rate, > 0. By default the convention's.
        penalty: lambda of the objective, >= 0.
        verbose: 1 for a progress bar.

    Returns:
        A `LayerMeasurements`, which prints as a table. Rates are computed in
        float64.

    Raises:
        ValueError: If the model has no white-box blocks or operators without
            `subspace_bases()`, there are no images, an argument is out of
            range, or activations are NaN or infinite. The error names the
            first layer with such activations.

    Example:

    ```python
    print(keras_crate.objective.measure(model, images))
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 3 (figure 3 for the two curves),
        and the authors' published measuring code.
    """
    return Measurer(model, convention, eps, penalty)(images, batch_size, verbose)


class Measurer:
    """Measures a model repeatedly, as during training.

    Attributes:
        tensors: The symbolic tensors that are read, for each block.
    """

    def __init__(
        self,
        model: keras.Model | ModelView,
        convention: str = "authors",
        eps: float | None = None,
        penalty: float = 0.1,
    ):
        self.convention = check_choice("convention", convention, MEASURED_AT)
        self.eps = check_eps(eps, self.convention)
        self.penalty = check_not_negative("penalty", penalty)
        view = view_of(model)
        self.blocks = view.blocks
        for block in self.blocks:
            check_bases(block.attention)
        parts = [self.convention, *(part for block in self.blocks for part in vars(block).values())]
        self.tensors = derived(
            view.model, parts, lambda: [self._tensors(block) for block in self.blocks]
        )
        self.inside = Inside(view, self.tensors)

    def _tensors(self, block: BlockView) -> list:
        """The symbolic tensors of a block that the convention reads."""
        codes = block.output if block.sparsify is None else _codes(block.sparsify)
        if self.convention == "authors":
            return [_normalised_input(block), codes]
        return [block.half_step, codes, block.output]

    def __call__(self, images, batch_size: int = 32, verbose: int = 0) -> LayerMeasurements:
        return self.measured(self.inside(images, batch_size, verbose))

    def measured(self, batches: Iterable) -> LayerMeasurements:
        """Measures batches of values that were computed for `tensors`, as `Inside` does."""
        bases = [
            keras.ops.convert_to_numpy(block.attention.subspace_bases()) for block in self.blocks
        ]
        found = collections.defaultdict(list)  # for each term, arrays (blocks, images)
        for values in batches:
            terms = [self._terms(u, *of_block) for u, of_block in zip(bases, values, strict=True)]
            for name in terms[0]:
                found[name].append(np.stack([of_block[name] for of_block in terms]))
        results = {}
        for name, batches in found.items():
            values = np.concatenate(batches, axis=1)
            # As in the authors' code: only the sparsity's deviation is biased.
            ddof = 0 if name == "sparsity" or values.shape[1] == 1 else 1
            results[f"{name}_mean"] = values.mean(axis=1).tolist()
            results[f"{name}_std"] = values.std(axis=1, ddof=ddof).tolist()
        sparsify = self.blocks[0].sparsify
        return LayerMeasurements(
            images=values.shape[1],
            convention=self.convention,
            eps=self.eps,
            penalty=self.penalty if self.convention == "paper" else None,
            operator="tokens" if sparsify is None else type(sparsify).__name__,
            untrained=is_untrained(self.inside.view.model),
            **results,
        )

    def _terms(self, bases, tokens, codes, output=None) -> dict[str, np.ndarray]:
        """The terms at one block, with one value per image."""
        terms = {
            "coding_rate": subspace_coding_rate(tokens, bases, self.eps, self.convention),
            "sparsity": sparsity(codes),
        }
        if self.convention == "paper":
            rate = coding_rate(tokens, self.eps)
            terms |= {"rate": rate, "rate_reduction": rate - terms["coding_rate"]}
            terms["objective"] = sparse_rate_reduction(output, bases, self.eps, self.penalty)
        return terms


def _normalised_input(block: BlockView):
    """Returns a block's normalised input, with scale and offset even if the operator has them."""
    if not isinstance(block.attention, FoldedNorm):
        return block.inputs
    return _MethodLayer(block.attention, "normalized")(block.inputs)


def _codes(sparsify: keras.layers.Layer):
    """Returns an operator's sparse codes: its output, or the codes inside it."""
    if not hasattr(sparsify, "sparse_codes"):
        return sparsify.output
    return _MethodLayer(sparsify, "sparse_codes")(sparsify.input)


class _MethodLayer(keras.layers.Layer):
    """Calls a method of another layer, for use in a functional model."""

    def __init__(self, layer: keras.layers.Layer, method: str):
        super().__init__(dtype=layer.dtype_policy)
        self.layer, self.method = layer, method

    def call(self, inputs):
        return getattr(self.layer, self.method)(inputs)
