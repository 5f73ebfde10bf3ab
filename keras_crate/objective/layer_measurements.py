"""The result of `measure`, with its table, JSON, data frame and figure."""

import dataclasses
import json

import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.extras import needed
from keras_crate.figure import ShownAsFigure, legend_beside, mark_untrained, new_figure

# Where each convention takes the coding rate: at the block's normalised input, or at the
# half-step, the tokens between the block's two operators.
MEASURED_AT = {"authors": "input", "paper": "half"}


@names_arguments
@dataclasses.dataclass(frozen=True, repr=False)
class LayerMeasurements(ShownAsFigure):
    """Result of `measure`: means and standard deviations over images, one entry per block.

    Standard deviations are unbiased, and 0 for one image. Only that of the
    sparsity is biased, as in the authors' code.

    Attributes:
        coding_rate_mean, coding_rate_std: R^c in nats.
        sparsity_mean, sparsity_std: Fraction in [0, 1] of exact zeros after the
            operator that sparsifies, or in the codes inside it.
        images: Number of images.
        convention: `"authors"` or `"paper"`.
        eps: Precision of the coding rate.
        rate_mean, rate_std: R at the half-step, in nats. This and the next three
            are None in the authors' convention.
        rate_reduction_mean, rate_reduction_std: R - R^c at the half-step, in nats.
        objective_mean, objective_std: R - R^c - lambda |Z|_0 of the block's output.
        penalty: lambda.
        operator: Class of the operator that sparsifies, such as `"ISTA"`.
        untrained: Whether the model's weights are initial values.
        at: Where the coding rate was taken: `"input"` in the authors'
            convention, `"half"` in the paper's.
    """

    coding_rate_mean: list[float]
    coding_rate_std: list[float]
    sparsity_mean: list[float]
    sparsity_std: list[float]
    images: int
    convention: str
    eps: float
    rate_mean: list[float] | None = None
    rate_std: list[float] | None = None
    rate_reduction_mean: list[float] | None = None
    rate_reduction_std: list[float] | None = None
    objective_mean: list[float] | None = None
    objective_std: list[float] | None = None
    penalty: float | None = None
    operator: str = "ISTA"
    untrained: bool = False

    @property
    def at(self) -> str:
        return MEASURED_AT[self.convention]

    def to_dict(self) -> dict:
        """Returns all values that are not None, as plain Python for `json.dump`."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return values | {"at": self.at}

    @classmethod
    def from_dict(cls, values: dict) -> "LayerMeasurements":
        """Makes measurements from what `to_dict` returned."""
        return cls(**{k: v for k, v in values.items() if k != "at"})  # known by the convention

    def to_json(self) -> str:
        """Returns `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_frame(self):
        """Returns a `pandas.DataFrame` with one row per block. Needs pandas."""
        with needed("pandas", "A frame needs"):
            import pandas

        columns = {k: v for k, v in self.to_dict().items() if isinstance(v, list)}
        blocks = pandas.RangeIndex(len(self.coding_rate_mean), name="block")
        return pandas.DataFrame(columns, index=blocks)

    def __str__(self) -> str:
        columns = {
            "coding rate R^c": (self.coding_rate_mean, self.coding_rate_std, 2),
            "non-zeros": (1 - np.array(self.sparsity_mean), self.sparsity_std, 3),
        }
        if self.convention == "paper":
            columns["rate R"] = (self.rate_mean, self.rate_std, 2)
            columns["R - R^c"] = (self.rate_reduction_mean, self.rate_reduction_std, 2)
            columns["objective"] = (self.objective_mean, self.objective_std, 1)
        lines = ["block" + "".join(f"{title:>22}" for title in columns)]
        for i in range(len(self.coding_rate_mean)):
            cells = (f"{m[i]:.{digits}f} +- {s[i]:.{digits}f}" for m, s, digits in columns.values())
            lines.append(f"{i:>5}" + "".join(f"{cell:>22}" for cell in cells))
        whose = {"paper": "paper's", "authors": "authors'"}[self.convention]
        where = {"input": "block's input", "half": "half-step"}[self.at]
        lines.append(
            f"{self.images} images, {whose} convention (R^c at the {where}), eps = {self.eps}, "
            f"non-zeros of {self.operator}{', untrained model' if self.untrained else ''}"
        )
        return "\n".join(lines)

    def plot(self, label: str | None = None, others: dict | None = None):
        """Draws R^c and the share of non-zeros against the block.

        Args:
            label: Name of these numbers in the legend.
            others: Measurements of other models or checkpoints, by their name
                in the legend.

        Returns:
            A `matplotlib.figure.Figure` of two panels. Needs matplotlib.

        Raises:
            ValueError: If two have the same name, or their convention or eps differs.
        """
        if label in (others or {}):
            raise ValueError(f"Each curve must have another name. Received: {label!r} twice")
        curves = {label: self, **(others or {})}
        for name, measured in curves.items():
            if (measured.convention, measured.eps) != (self.convention, self.eps):
                raise ValueError(
                    f"{name!r} was measured in the {measured.convention} convention with eps = "
                    f"{measured.eps}, but {label!r} in the {self.convention} convention with eps = "
                    f"{self.eps}. Measure both in the same way."
                )
        figure = new_figure(8, 3)
        axes = figure.subplots(1, 2)
        for i, (name, measured) in enumerate(curves.items()):
            if others and measured.untrained and "untrained" not in str(name):
                name = f"{name} (untrained)"
            draw_curves(measured, *axes, label=name, colour=f"C{i}" if others else None)
        operators = dict.fromkeys(measured.operator for measured in curves.values())
        axes[1].set_ylabel(f"share of non-zeros of {', '.join(operators)}")
        if label or others:
            legend_beside(axes[1])
        if self.untrained and not others:
            mark_untrained(figure)
        return figure


def draw_curves(
    measured: LayerMeasurements, rate_axes, sparsity_axes, label=None, colour: str | None = None
) -> None:
    """Draws the two curves with error bars on two matplotlib axes, in one colour if it is given."""
    blocks = np.arange(len(measured.coding_rate_mean))
    nonzero = 1 - np.array(measured.sparsity_mean)
    style = {"marker": "o", "markersize": 4, "linewidth": 1.5, "capsize": 3, "label": label}
    rate = (measured.coding_rate_mean, measured.coding_rate_std)
    rate_axes.errorbar(blocks, *rate, color=colour or "#1f77b4", **style)
    where = {"input": r"$R^c$ of the block's input (nats)", "half": r"$R^c(Z^{\ell+1/2})$ (nats)"}
    rate_axes.set(ylabel=where[measured.at], title="Compression: coding rate")
    sparsity_axes.errorbar(
        blocks, nonzero, measured.sparsity_std, color=colour or "#d62728", **style
    )
    sparsity_axes.set(ylabel=f"share of non-zeros of {measured.operator}", title="Sparsity")
    for axes in (rate_axes, sparsity_axes):
        axes.set_xlabel("block")
        axes.set_xticks(blocks if len(blocks) <= 12 else blocks[::2])
        axes.spines[["top", "right"]].set_visible(False)
