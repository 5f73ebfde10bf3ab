"""The objective's terms at every layer of a model."""

import dataclasses
import json

import keras
import numpy as np

from keras_crate.models.blocks import check_measurable, white_box_blocks
from keras_crate.objective.figure import new_figure
from keras_crate.objective.rates import DEFAULT_EPS, sparsity, subspace_coding_rate


@dataclasses.dataclass(frozen=True)
class LayerMeasurements:
    """What `measure` found, one entry a block.

    Attributes:
        coding_rate_mean: Mean of R^c over the images, in nats.
        coding_rate_std: Its unbiased standard deviation (0 for one image).
        sparsity_mean: Mean fraction of exact zeros after ISTA.
        sparsity_std: Its biased standard deviation.
        images: Number of images measured.
        convention: `"authors"` or `"paper"`.
        eps: Precision of the coding rate.
    """

    coding_rate_mean: list[float]
    coding_rate_std: list[float]
    sparsity_mean: list[float]
    sparsity_std: list[float]
    images: int
    convention: str
    eps: float

    def to_dict(self) -> dict:
        """The same as plain Python, ready for `json.dump`."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        lines = [f"{'block':>5}  {'coding rate R^c':>20}  {'zeros after ISTA':>18}"]
        rows = zip(
            self.coding_rate_mean,
            self.coding_rate_std,
            self.sparsity_mean,
            self.sparsity_std,
            strict=True,
        )
        for i, (rate, rate_std, zeros, zeros_std) in enumerate(rows):
            lines.append(
                f"{i:>5}  {rate:>10.2f} +- {rate_std:<6.2f}  {zeros:>9.3f} +- {zeros_std:.3f}"
            )
        lines.append(f"{self.images} images, {self.convention}' convention, eps = {self.eps}")
        return "\n".join(lines).replace("paper'", "paper's")

    def plot(self):
        """Two panels against the block: R^c and the share of non-zeros.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.
        """
        figure = new_figure(8, 3)
        draw_curves(self, *figure.subplots(1, 2))
        return figure


def draw_curves(
    measured: LayerMeasurements, rate_axes, sparsity_axes, label=None, faint: bool = False
) -> None:
    """Draws the two curves with error bars on two matplotlib axes.

    Args:
        measured: What to draw.
        rate_axes: Axes for the coding rate.
        sparsity_axes: Axes for the share of non-zeros.
        label: What the legend calls them.
        faint: Whether to draw them as what others are compared with.
    """
    blocks = np.arange(len(measured.coding_rate_mean))  # as the layers are named
    nonzero = 1 - np.array(measured.sparsity_mean)
    style = {"marker": "o", "markersize": 4, "linewidth": 1.5, "capsize": 3, "label": label}
    colours = ("0.6", "0.6") if faint else ("#1f77b4", "#d62728")
    rate = (measured.coding_rate_mean, measured.coding_rate_std)
    rate_axes.errorbar(blocks, *rate, color=colours[0], **style)
    rate_axes.set(ylabel="$R^c$ (nats)", title="Compression: coding rate")
    sparsity_axes.errorbar(blocks, nonzero, measured.sparsity_std, color=colours[1], **style)
    sparsity_axes.set(ylabel="share of non-zeros", title="Sparsity: after ISTA")
    for axes in (rate_axes, sparsity_axes):
        axes.set_xlabel("block")
        axes.set_xticks(blocks if len(blocks) <= 12 else blocks[::2])
        axes.spines[["top", "right"]].set_visible(False)


def measure(
    model: keras.Model,
    images,
    batch_size: int = 32,
    convention: str = "authors",
    eps: float | None = None,
) -> LayerMeasurements:
    """Measures compression and sparsity at every block of a model.

    The coding rate against a block's subspaces is taken, in the authors'
    convention, on its input `LN(Z)`; in the paper's, on the half-step after
    its attention, `Z + MSSA(LN(Z))`. Sparsity is the fraction of exact zeros
    after ISTA, or in the codes of an operator that has them inside, such as
    `OvercompleteISTA`. Rates are computed in float64.

    Args:
        model: Any model of the package, whatever its operators, or a functional
            model with its blocks' layers (`block_0_mssa`, ...).
        images: Array of shape `(n, *input_shape)`, n >= 1.
        batch_size: Images at a time; memory grows with it.
        convention: `"authors"` or `"paper"`; see `subspace_coding_rate`.
        eps: Precision of the coding rate; by default the convention's.

    Returns:
        A `LayerMeasurements`, which prints as a table.

    Raises:
        ValueError: If the model has no white-box blocks, an operator does not
            tell its subspaces, there are no images, or the convention does not
            exist.

    Example:

    ```python
    print(keras_crate.objective.measure(model, images))
    ```

    Reference:
        Yu et al., arXiv:2306.01129, section 3 (figure 3 for the two curves),
        and the authors' published measuring code.
    """
    if convention not in DEFAULT_EPS:
        raise ValueError(
            f"`convention` must be one of {tuple(DEFAULT_EPS)}. Received: convention={convention!r}"
        )
    if len(images) == 0:
        raise ValueError("`images` must hold at least one image. Received: none")
    check_measurable(model, images)
    eps = DEFAULT_EPS[convention] if eps is None else eps
    blocks = white_box_blocks(model)
    bases = [keras.ops.convert_to_numpy(_bases(block.compress)) for block in blocks]
    outputs = []
    for block in blocks:
        outputs.append(block.compress.input if convention == "authors" else block.half_step)
        outputs.append(_codes(block.sparsify))
    inside = keras.Model(model.input, outputs)
    rates, zeros = [[] for _ in blocks], [[] for _ in blocks]
    for start in range(0, len(images), batch_size):
        tokens = inside.predict_on_batch(images[start : start + batch_size])
        for k, basis in enumerate(bases):
            half, sparse = (np.asarray(t, "float32") for t in tokens[2 * k : 2 * k + 2])
            rates[k].append(subspace_coding_rate(half, basis, eps, convention))
            zeros[k].append(sparsity(sparse))
    rates, zeros = (
        np.array([np.concatenate(r) for r in rates]),
        np.array([np.concatenate(z) for z in zeros]),
    )
    return LayerMeasurements(
        coding_rate_mean=rates.mean(axis=1).tolist(),
        coding_rate_std=rates.std(axis=1, ddof=min(1, len(images) - 1)).tolist(),
        sparsity_mean=zeros.mean(axis=1).tolist(),
        sparsity_std=zeros.std(axis=1).tolist(),
        images=len(images),
        convention=convention,
        eps=eps,
    )


def _bases(compress: keras.layers.Layer):
    """The subspaces that a layer compresses against."""
    if not hasattr(compress, "subspace_bases"):
        raise ValueError(
            f"The coding rate is against the subspaces of {compress.name!r}, which does not tell "
            f"them: give {type(compress).__name__} a method `subspace_bases()` that returns a "
            "tensor of shape (heads, d, p), as `MSSA` has."
        )
    return compress.subspace_bases()


def _codes(sparsify: keras.layers.Layer):
    """What a layer makes sparse: its output, or the codes inside it."""
    if not hasattr(sparsify, "sparse_codes"):
        return sparsify.output
    return _SparseCodes(sparsify)(sparsify.input)


class _SparseCodes(keras.layers.Layer):
    """Calls a layer for its codes instead of its output."""

    def __init__(self, layer):
        super().__init__(dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs):
        return self.layer.sparse_codes(inputs)
