"""Scores of a classifier: accuracy, accuracy by class, and confusion matrix."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.extras import needed
from keras_crate.figure import ShownAsFigure, new_figure

_DRAWN, _NAMED, _NUMBERED = 2000, 40, 12  # classes for which a figure, names and numbers fit


@names_arguments
@dataclasses.dataclass(frozen=True, repr=False)
class Scores(ShownAsFigure):
    """The predictions of a classifier for labelled images.

    Args:
        truth: The class of each image, `(n,)`.
        likeliest: The k likeliest classes of each image, most likely first,
            `(n, k)`.
        classes: Number of classes.
        top: Each k for which an image counts as correct if its class is among
            the k likeliest.
        real: The correct classes of each image by ReaL, or None. Images
            without a correct class are not counted.
    """

    truth: np.ndarray
    likeliest: np.ndarray
    classes: int
    top: Sequence[int] = (1, 5)
    real: Sequence[Sequence[int]] | None = None

    def summary(self) -> dict[str, float]:
        """Returns accuracies in per cent: `top1`, `top5`, ...; and `images`, their number.

        With ReaL labels, it adds the accuracy `real` on the `real_images` with such labels.
        """
        hits = self.likeliest == self.truth[:, np.newaxis]
        summary = {f"top{k}": 100 * float(hits[:, :k].any(axis=1).mean()) for k in self.top}
        pairs = zip(self.likeliest[:, 0], self.real or (), strict=False)
        real = [best in correct for best, correct in pairs if correct]
        if real:
            summary |= {"real": 100 * float(np.mean(real)), "real_images": len(real)}
        return {**summary, "images": len(self.truth)}

    def __str__(self) -> str:
        found = self.summary()
        parts = [f"top-{k} {found[f'top{k}']:.2f} %" for k in self.top]
        if "real" in found:
            parts.append(f"ReaL {found['real']:.2f} % of {found['real_images']}")
        return f"{', '.join(parts)} of {found['images']} images"

    def by_class(self) -> list[float | None]:
        """Returns the accuracy of each class in per cent, or None for a class without images."""
        correct = self.truth[self.likeliest[:, 0] == self.truth]
        counts = (np.bincount(of, minlength=self.classes) for of in (correct, self.truth))
        return [
            100 * float(right / total) if total else None
            for right, total in zip(*counts, strict=True)
        ]

    def plot(self, class_names: Sequence[str] | None = None):
        """Draws the confusion matrix: true classes in rows, predicted ones in columns.

        Args:
            class_names: Names of the classes, by default their numbers. They
                are left out above 40 classes.

        Returns:
            A `matplotlib.figure.Figure`. Its colours are shares of a row.

        Raises:
            ValueError: If there are more than 2,000 classes.
            ImportError: If matplotlib or scikit-learn is not installed.
        """
        if self.classes > _DRAWN:
            raise ValueError(
                f"A confusion matrix is drawn for at most {_DRAWN} classes. "
                f"Received: {self.classes} classes"
            )
        side = min(12, 3 + 0.22 * self.classes)
        axes = new_figure(side + 0.8, side).subplots()
        with needed("scikit-learn", "A confusion matrix needs"):
            from sklearn.metrics import ConfusionMatrixDisplay
        ConfusionMatrixDisplay.from_predictions(
            self.truth,
            self.likeliest[:, 0],
            labels=range(self.classes),
            display_labels=class_names,
            normalize="true",
            include_values=self.classes <= _NUMBERED,
            values_format=".2f",
            xticks_rotation="vertical",
            cmap="Blues",
            ax=axes,
        )
        if self.classes > _NAMED:
            axes.set(xticks=[], yticks=[])
        return axes.figure
