"""The objective's terms at every layer of a model."""

import collections

import keras
import numpy as np

from keras_crate.models.blocks import check_bases, white_box_blocks
from keras_crate.models.inside import Inside
from keras_crate.objective.layer_measurements import MEASURED_AT, LayerMeasurements
from keras_crate.objective.rates import (
    DEFAULT_EPS,
    check_eps,
    check_not_negative,
    coding_rate,
    sparse_rate_reduction,
    sparsity,
    subspace_coding_rate,
)
from keras_crate.objective.running import RunningStatistics


def measure(
    model: keras.Model,
    images,
    batch_size: int = 32,
    convention: str | None = None,
    eps: float | None = None,
    penalty: float = 0.1,
    verbose: int = 0,
    at: str | None = None,
) -> LayerMeasurements:
    """Measures compression and sparsity at every block of a model.

    The coding rate against a block's subspaces is taken, in the authors'
    convention, on its input `LN(Z)`; in the paper's, on the half-step after
    its attention, `Z + MSSA(LN(Z))`. Sparsity is the fraction of exact zeros
    after ISTA, or in the codes of an operator that has them inside, such as
    `OvercompleteISTA`. The paper's convention adds the rate R and the rate
    reduction on the half-step, and the objective on the block's output; where
    that is not the sparse codes themselves, as in CRATE-alpha, few of its
    entries are zero and its |Z|_0 says little. Rates are computed in float64.

    Args:
        model: Any model of the package, whatever its operators, or a functional
            model with its blocks' layers (`block_0_mssa`, ...). Of a `CRATEMAE`,
            which hides patches at random, pass `model.encoder()`.
        images: Array of shape `(n, *input_shape)`, n >= 1; or what yields
            batches of images, alone or first in a tuple: a `tf.data.Dataset`,
            a `PyDataset`, a `DataLoader`, a generator. Of these one batch is
            in memory at a time.
        batch_size: Images at a time, of an array; memory grows with it.
        convention: `"authors"` (the default) or `"paper"`; see
            `subspace_coding_rate`.
        eps: Precision of the coding rate; by default the convention's.
        penalty: lambda of the objective, >= 0; in the paper's convention.
        verbose: 1 for a progress bar.
        at: The same choice by the place that is measured: `"input"` of the
            block (the authors') or `"half"`, after its attention (the
            paper's). One of the two arguments is enough.

    Returns:
        A `LayerMeasurements`, which prints as a table.

    Raises:
        ValueError: If the model has no white-box blocks, an operator does not
            tell its subspaces, there are no images, the convention does not
            exist or is not measured there, or activations are NaN or infinite
            (the message names the first layer).

    Example:

    ```python
    print(keras_crate.objective.measure(model, images))
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 3 (figure 3 for the two curves),
        and the authors' published measuring code.
    """
    return LayerProbe(model, convention, eps, penalty, at)(images, batch_size, verbose)


class LayerProbe:
    """`measure` for a model that is measured again and again as it trains.

    Args:
        model, convention, eps, penalty, at: As in `measure`.

    Call arguments:
        images, batch_size, verbose: As in `measure`.

    Returns:
        A `LayerMeasurements` of the model as it is at the call.
    """

    def __init__(
        self,
        model: keras.Model,
        convention: str | None = None,
        eps: float | None = None,
        penalty: float = 0.1,
        at: str | None = None,
    ):
        convention = check_measures(convention, at, eps, penalty)
        self.convention = convention
        self.eps = DEFAULT_EPS[convention] if eps is None else float(eps)
        self.penalty = float(penalty)
        self.blocks = white_box_blocks(model)
        outputs = []
        for block in self.blocks:
            check_bases(block.compress)
            paper = convention == "paper"
            outputs.append(block.half_step if paper else _normalized(block.compress))
            outputs.append(_codes(block.sparsify))
            outputs.append(block.output)
        self._inside = Inside(model, outputs)

    def __call__(self, images, batch_size: int = 32, verbose: int = 0) -> LayerMeasurements:
        bases = [
            keras.ops.convert_to_numpy(block.compress.subspace_bases()) for block in self.blocks
        ]
        statistics = collections.defaultdict(RunningStatistics)
        for tokens in self._inside(images, batch_size, verbose):
            values = [self._terms(*tokens[3 * k : 3 * k + 3], u) for k, u in enumerate(bases)]
            for name in values[0]:
                of_blocks = np.stack([of_block[name] for of_block in values], axis=1)
                statistics[name].update(of_blocks)  # (batch, blocks)
        results = {}
        for name, running in statistics.items():
            results[f"{name}_mean"] = running.mean.tolist()
            # As the authors do: biased for the sparsity alone.
            results[f"{name}_std"] = running.std(ddof=0 if name == "sparsity" else 1).tolist()
        if self.convention == "paper":
            results["penalty"] = self.penalty
        return LayerMeasurements(
            images=running.count, convention=self.convention, eps=self.eps, **results
        )

    def _terms(self, compressed, codes, output, bases) -> dict[str, np.ndarray]:
        """One value an image of each term at one block."""
        terms = {
            "coding_rate": subspace_coding_rate(compressed, bases, self.eps, self.convention),
            "sparsity": sparsity(codes),
        }
        if self.convention == "paper":
            rate = coding_rate(compressed, self.eps)
            terms |= {"rate": rate, "rate_reduction": rate - terms["coding_rate"]}
            terms["objective"] = sparse_rate_reduction(output, bases, self.eps, self.penalty)
        return terms


def check_measures(convention: str | None, at: str | None, eps, penalty) -> str:
    """Refuses settings out of range; the convention, by its name or the place it measures."""
    check_not_negative("penalty", penalty)
    check_eps(eps)
    if convention is not None and convention not in DEFAULT_EPS:
        raise ValueError(
            f"`convention` must be one of {tuple(DEFAULT_EPS)}. Received: convention={convention!r}"
        )
    if at is None:
        return convention or "authors"
    conventions = {place: name for name, place in MEASURED_AT.items()}
    if at not in conventions:
        raise ValueError(f"`at` must be one of {tuple(conventions)}. Received: at={at!r}")
    if convention not in (None, conventions[at]):
        raise ValueError(
            f"The {convention} convention is measured at {MEASURED_AT[convention]!r}, and the two "
            f"are never mixed. Received: convention={convention!r}, at={at!r}. Leave one out."
        )
    return conventions[at]


def _normalized(compress: keras.layers.Layer):
    """A block's normalised input, also where scale and offset were folded into the layer."""
    if not getattr(compress, "folded_norm", False):
        return compress.input
    return _Calls(compress, "normalized")(compress.input)


def _codes(sparsify: keras.layers.Layer):
    """What a layer makes sparse: its output, or the codes inside it."""
    if not hasattr(sparsify, "sparse_codes"):
        return sparsify.output
    return _Calls(sparsify, "sparse_codes")(sparsify.input)


class _Calls(keras.layers.Layer):
    """Calls another method of a layer than `call`."""

    def __init__(self, layer, method):
        super().__init__(dtype=layer.dtype_policy)
        self.layer, self.method = layer, method

    def call(self, inputs):
        return getattr(self.layer, self.method)(inputs)
