"""How often a classifier is right: in all, by class, by which other class it is wrong."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.figure import new_figure

_CONFUSED = 2000  # classes up to which it is counted which is taken for which
_LIST_IMAGES = 50_000  # of ImageNet's validation, for each of which ReaL has its labels


class Scores:
    """Counts of a classifier's hits, batch by batch.

    Args:
        classes: Number of classes.
        top: Each k for which images are counted whose class is among the k
            likeliest. Those above the number of classes are passed over.

    Attributes:
        confusion: Integer array `(classes, classes)`: images of the row's class
            that were taken for the column's; None above 2,000 classes.
        right, totals: Images of each class that were told right, and all.
        images: How many images were counted.
    """

    def __init__(self, classes: int, top: Sequence[int] = (1, 5)):
        self.hits = dict.fromkeys(sorted({int(k) for k in top if k <= classes}), 0)
        few = classes <= _CONFUSED
        self.confusion = np.zeros((classes, classes), "int64") if few else None
        self.right, self.totals = np.zeros((2, classes), "int64")
        self.images = 0
        self.real = {"hits": 0, "images": 0}

    def add(self, outputs: np.ndarray, truth, real: Sequence[Sequence[int]] | None = None) -> None:
        """Counts a batch.

        Args:
            outputs: Probabilities or logits, `(n, classes)`.
            truth: Class of each image.
            real: For each image the classes that are right, by ReaL. Images
                for which there is none are left out of that count.
        """
        truth = np.asarray(truth, "int64")
        order = np.argsort(-outputs, axis=1, kind="stable")
        for k in self.hits:
            self.hits[k] += int((order[:, :k] == truth[:, np.newaxis]).any(axis=1).sum())
        np.add.at(self.totals, truth, 1)
        np.add.at(self.right, truth, order[:, 0] == truth)
        if self.confusion is not None:
            np.add.at(self.confusion, (truth, order[:, 0]), 1)
        self.images += len(truth)
        for best, right in zip(order[:, 0], real or (), strict=False):
            if right:
                self.real["images"] += 1
                self.real["hits"] += int(best in right)

    def summary(self) -> dict[str, float]:
        """Per cent: `top1`, `top5`, and `real` where there were such labels; and `images`."""
        summary = {f"top{k}": 100 * hits / self.images for k, hits in self.hits.items()}
        if self.real["images"]:
            summary["real"] = 100 * self.real["hits"] / self.real["images"]
            summary["real_images"] = self.real["images"]
        return {**summary, "images": self.images}

    def by_class(self) -> list[float | None]:
        """Per cent of each class's images that were told right; None where it has none."""
        return [
            float(100 * right / total) if total else None
            for right, total in zip(self.right, self.totals, strict=True)
        ]

    def plot(self, class_names: Sequence[str] | None = None):
        """Draws which class is taken for which.

        Args:
            class_names: Names of the classes; those of more than 40 are left out.

        Returns:
            A `matplotlib.figure.Figure`: rows are the true classes, columns what
            the model said, colours shares of a row.

        Raises:
            ValueError: If there are more than 2,000 classes.
        """
        if self.confusion is None:
            raise ValueError(f"A picture of confusions is for up to {_CONFUSED} classes.")
        classes = len(self.confusion)
        side = min(12, 3 + 0.22 * classes)
        figure = new_figure(side + 0.8, side)
        axes = figure.subplots()
        totals = np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        picture = axes.imshow(self.confusion / totals, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(picture, ax=axes, label="share of the class", shrink=0.8)
        axes.set(xlabel="said", ylabel="true")
        if classes <= 40:
            names = [str(k) for k in range(classes)] if class_names is None else class_names
            turned = 90 if max(map(len, names)) > 2 else 0
            axes.set_xticks(range(classes), names, rotation=turned)
            axes.set_yticks(range(classes), names)
        if classes <= 12:
            for (row, column), count in np.ndenumerate(self.confusion):
                if count:
                    dark = count > totals[row, 0] / 2
                    axes.text(column, row, str(count), ha="center", va="center", fontsize=7,
                              color="white" if dark else "black")  # fmt: skip
        return figure


class RealLabels:
    """ImageNet's reassessed labels ("ReaL"), for the images of its validation.

    Args:
        file: `real.json` as its authors publish it: for each of the 50,000
            images, in the order of their numbers, a list of classes.

    Raises:
        ValueError: If it is another file.

    Reference:
        Beyer et al., "Are we done with ImageNet?", arXiv:2006.07159.
    """

    def __init__(self, file: str | os.PathLike):
        try:
            self.labels = json.loads(Path(file).read_text("utf8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"The ReaL labels {file} cannot be read: {error}") from error
        right = isinstance(self.labels, list) and all(isinstance(v, list) for v in self.labels)
        if not right or len(self.labels) != _LIST_IMAGES:
            raise ValueError(
                f"The ReaL labels must be a list of {_LIST_IMAGES:,} lists of classes, as in its "
                f"authors' real.json. Received: {file}, which is none"
            )

    def of(self, file: Path) -> list[int]:
        """The right classes of an image, by its name, such as `ILSVRC2012_val_00000001.JPEG`.

        Raises:
            ValueError: If the name bears no number of ImageNet's validation.
        """
        match = re.search(r"_val_(\d{8})$", file.stem)
        if not match or not 1 <= int(match.group(1)) <= _LIST_IMAGES:
            raise ValueError(
                "With ReaL labels, files must be called as ImageNet's are, such as "
                f"ILSVRC2012_val_00000001.JPEG. Received: {file.name}"
            )
        return self.labels[int(match.group(1)) - 1]
