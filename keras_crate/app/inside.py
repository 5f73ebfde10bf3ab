"""Computes all that the page shows of one model and one image, in one forward pass."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from keras_crate.evaluation.probabilities import likeliest
from keras_crate.figure import displayable
from keras_crate.interpret import pca_features
from keras_crate.interpret.attention import gives_scores
from keras_crate.models.inside import Inside
from keras_crate.models.model_view import ModelView
from keras_crate.models.untrained import is_untrained
from keras_crate.objective import LayerMeasurements
from keras_crate.objective.measure import Measurer

TOP = 5
MOST_ATTENTION = 256_000_000  # bytes kept of one model and one image
TWIN = ", untrained"  # how the name of an untrained twin ends


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the page shows of one model and one image. The page only picks from it."""

    name: str  # of the model on the page
    picture: np.ndarray  # as the model sees it, `(height, width[, 3])`, uint8
    grid: tuple[int, int]  # rows and columns of patches
    prefix_tokens: int  # before the patches'; the first is the class token
    classes: list[tuple[str, float]]  # with probabilities, likeliest first; or empty
    components: list[np.ndarray]  # of each block: PCA as colours, `(rows, columns, 3)` in [0, 1]
    attention: list[np.ndarray | None]  # of each block: `(heads, tokens, tokens)`
    operators: list[str]  # of each block: the class of the one that compresses
    measured: LayerMeasurements | None  # None without subspaces
    untrained: bool

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.components)

    def place_of(self, patch: int | None) -> tuple[float, float] | None:
        """Returns the centre of a patch as shares of height and width; None if there is none."""
        rows, columns = self.grid
        if patch not in range(rows * columns):
            return None
        return (patch // columns + 0.5) / rows, (patch % columns + 0.5) / columns

    def patch_at(self, place: tuple[float, float] | None) -> int | None:
        """Returns the number of the patch at a place. Another model may have other patches."""
        if place is None:
            return None
        (rows, columns), (y, x) = self.grid, place
        return int(y * rows) * columns + int(x * columns)

    def attended(self, block: int, patch: int | None) -> np.ndarray | None:
        """Returns what a patch attends to, `(heads, rows, columns)`, or None without attention.

        Without a patch, it is the class token that attends, or the mean of all patches.
        """
        scores = self.attention[block]
        if scores is None:
            return None
        if patch is not None:
            row = scores[:, self.prefix_tokens + patch]
        elif self.prefix_tokens:
            row = scores[:, 0]
        else:
            row = scores.mean(axis=1)
        maps = row[:, self.prefix_tokens :].astype("float32")
        return maps.reshape(len(maps), *self.grid)


class Look:
    """Looks into one model. Call it with one image as the model takes it, `(1, *input_shape)`."""

    def __init__(self, name: str, view: ModelView, class_names: Sequence[str] | None = None):
        self.name, self.view = name, view
        self.class_names = class_names
        self.untrained = is_untrained(view.model)
        bases = all(hasattr(block.attention, "subspace_bases") for block in view.blocks)
        self.measurer = Measurer(view) if bases else None
        tensors = {
            "blocks": [[block.inputs, block.output] for block in view.blocks],
            "measured": self.measurer.tensors if self.measurer else [],
            "outputs": view.model.outputs if class_names else [],
        }
        self.inside = Inside(view, tensors)

    def __call__(self, images: np.ndarray) -> Seen:
        (values,) = self.inside(images, batch_size=1)
        blocks, attention, components = self.view.blocks, [], []
        for block, (inputs, output) in zip(blocks, values["blocks"], strict=True):
            attention.append(_scores(block.attention, inputs))
            if sum(scores.nbytes for scores in attention if scores is not None) > MOST_ATTENTION:
                raise ValueError(
                    f"The model has too many tokens for the page: {len(inputs[0]):,}, and the "
                    f"attention of each to each takes more than {MOST_ATTENTION // 10**6} MB. "
                    "Choose a model of smaller images or larger patches."
                )
            features = self.view.as_map(output)
            components.append(pca_features(features, foreground=False).rgb[0])
        classes = []
        if self.class_names:
            ranks, shares = likeliest(self.view.model, values["outputs"][0], TOP)
            pairs = zip(ranks[0], shares[0], strict=True)
            classes = [(self.class_names[k], float(share)) for k, share in pairs]
        return Seen(
            name=self.name,
            picture=as_pixels(displayable(images)[0]),
            grid=self.view.grid,
            prefix_tokens=self.view.prefix_tokens,
            classes=classes,
            components=components,
            attention=attention,
            operators=[type(block.attention).__name__ for block in blocks],
            measured=self.measurer.measured([values["measured"]]) if self.measurer else None,
            untrained=self.untrained,
        )


def as_pixels(picture: np.ndarray) -> np.ndarray:
    """Returns a picture in [0, 1] as uint8."""
    return (255 * np.clip(picture, 0, 1)).round().astype("uint8")


def _scores(attention, tokens: np.ndarray) -> np.ndarray | None:
    """Attention `(heads, tokens, tokens)` of one image, in float16 to save memory."""
    if not gives_scores(attention):
        return None
    _, scores = attention(keras.ops.convert_to_tensor(tokens), return_attention_scores=True)
    return keras.ops.convert_to_numpy(scores)[0].astype("float16")
