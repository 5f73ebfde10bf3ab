"""The numbers that `measure` finds: printed, converted, drawn."""

import dataclasses
import json

import numpy as np

from keras_crate.extras import needed
from keras_crate.figure import new_figure

# Where each convention takes the coding rate: on a block's normalised input, or
# on the tokens after its attention.
MEASURED_AT = {"authors": "input", "paper": "half"}


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
        rate_mean: Mean of R on the half-step, in nats; this and what follows
            exist in the paper's convention alone, and are None otherwise.
        rate_std: Its unbiased standard deviation.
        rate_reduction_mean: Mean of R - R^c on the half-step, in nats.
        rate_reduction_std: Its unbiased standard deviation.
        objective_mean: Mean of R - R^c - lambda |Z|_0 on the block's output.
        objective_std: Its unbiased standard deviation.
        penalty: lambda of the objective.
        at: Where the coding rate was taken, by the convention: `"input"` or
            `"half"`.
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

    @property
    def at(self) -> str:
        return MEASURED_AT[self.convention]

    def to_dict(self) -> dict:
        """The same as plain Python, ready for `json.dump`; without what is None."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return values | {"at": self.at}

    @classmethod
    def from_dict(cls, values: dict) -> "LayerMeasurements":
        """What `to_dict` gave, or `json.loads` of what `to_json` wrote."""
        return cls(**{k: v for k, v in values.items() if k != "at"})  # the convention tells it

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_frame(self):
        """A `pandas.DataFrame`, one row a block. Needs pandas."""
        with needed("pandas", "A frame needs"):
            import pandas

        columns = {k: v for k, v in self.to_dict().items() if isinstance(v, list)}
        blocks = pandas.RangeIndex(len(self.coding_rate_mean), name="block")
        return pandas.DataFrame(columns, index=blocks)

    def __str__(self) -> str:
        columns = [("coding rate R^c", "coding_rate", 2), ("zeros after ISTA", "sparsity", 3)]
        if self.rate_mean is not None:
            columns += [("rate R", "rate", 2), ("R - R^c", "rate_reduction", 2)]
            columns += [("objective", "objective", 1)]
        lines = [f"{'block':>5}" + "".join(f"  {title:>20}" for title, _, _ in columns)]
        for i in range(len(self.coding_rate_mean)):
            line = f"{i:>5}"
            for _, name, digits in columns:
                mean, std = (getattr(self, f"{name}_{kind}")[i] for kind in ("mean", "std"))
                line += f"  {f'{mean:.{digits}f} +- {std:.{digits}f}':>20}"
            lines.append(line)
        whose = {"paper": "paper's", "authors": "authors'"}[self.convention]
        where = {"input": "block's input", "half": "half-step"}[self.at]
        lines.append(
            f"{self.images} images, {whose} convention (R^c at the {where}), eps = {self.eps}"
        )
        return "\n".join(lines)

    def plot(self, label: str | None = None, others: dict | None = None):
        """Two panels against the block: R^c and the share of non-zeros.

        Args:
            label: What the legend calls these numbers.
            others: Measurements of other models or checkpoints, by the name
                that the legend gives them.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.

        Raises:
            ValueError: If two have the same name, or were measured by another
                convention or eps, which makes them no curves of one axis.
        """
        for name, measured in (others or {}).items():
            if name == label:
                raise ValueError(f"Each curve needs a name of its own. Received: {name!r} twice")
            if (measured.convention, measured.eps) != (self.convention, self.eps):
                raise ValueError(
                    f"{name!r} was measured in the {measured.convention} convention with eps = "
                    f"{measured.eps}, {label!r} in the {self.convention} convention with eps = "
                    f"{self.eps}: measure both alike."
                )
        figure = new_figure(8, 3)
        axes = figure.subplots(1, 2)
        for i, (name, measured) in enumerate({label: self, **(others or {})}.items()):
            colour = f"C{i}" if others else None
            draw_curves(measured, *axes, label=name, colour=colour)
        if label or others:
            axes[0].legend(frameon=False)
        return figure


def draw_curves(
    measured: LayerMeasurements, rate_axes, sparsity_axes, label=None, colour: str | None = None
) -> None:
    """Draws the two curves with error bars on two matplotlib axes.

    Args:
        measured: What to draw.
        rate_axes: Axes for the coding rate.
        sparsity_axes: Axes for the share of non-zeros.
        label: What the legend calls them.
        colour: Of both curves; by default each has its own.
    """
    blocks = np.arange(len(measured.coding_rate_mean))  # as the layers are named
    nonzero = 1 - np.array(measured.sparsity_mean)
    style = {"marker": "o", "markersize": 4, "linewidth": 1.5, "capsize": 3, "label": label}
    rate = (measured.coding_rate_mean, measured.coding_rate_std)
    rate_axes.errorbar(blocks, *rate, color=colour or "#1f77b4", **style)
    where = {"input": r"$R^c$ of the block's input (nats)", "half": r"$R^c(Z^{\ell+1/2})$ (nats)"}
    rate_axes.set(ylabel=where[measured.at], title="Compression: coding rate")
    sparsity_axes.errorbar(
        blocks, nonzero, measured.sparsity_std, color=colour or "#d62728", **style
    )
    sparsity_axes.set(ylabel="share of non-zeros", title="Sparsity: after ISTA")
    for axes in (rate_axes, sparsity_axes):
        axes.set_xlabel("block")
        axes.set_xticks(blocks if len(blocks) <= 12 else blocks[::2])
        axes.spines[["top", "right"]].set_visible(False)
