"""`verify`: what anybody can check of published weights: a hash, a fingerprint, an accuracy."""

import dataclasses
import hashlib
import os
import re

import keras
import numpy as np

from keras_crate.evaluation import Evaluation, LabelledFolder
from keras_crate.evaluation import accuracy as measured_accuracy
from keras_crate.files import sha256_of
from keras_crate.models.class_names import decode_predictions
from keras_crate.models.load import build
from keras_crate.weights.find import fetch
from keras_crate.weights.variants import variant_named


@dataclasses.dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        variant: Its name.
        source: Where the weights come from.
        sha256: SHA-256 of the weights file.
        weights: SHA-256 of all weights' values, by path: the same on every
            backend.
        outputs: The first outputs for the fixed input.
        likeliest: The likeliest classes of the fixed input, if classes have names.
        accuracy: `top1`, `top5` and so on, if images were given.
        reported: The reported accuracy in per cent, or None.
    """

    variant: str
    source: str
    sha256: str
    weights: str
    outputs: tuple[float, ...]
    likeliest: tuple[tuple[str, float], ...] = ()
    accuracy: dict | None = None
    reported: float | None = None

    def __str__(self) -> str:
        lines = [
            f"variant      {self.variant}",
            f"source       {self.source}",
            f"file         sha256 {self.sha256}",
            f"weights      sha256 {self.weights}",
            f"fixed input  {', '.join(f'{value:.4f}' for value in self.outputs)}",
        ]
        if self.likeliest:
            words = ", ".join(f"{name} {share:.4f}" for name, share in self.likeliest)
            lines.append(f"likeliest    {words}")
        reported = f" (reported: {self.reported:g})" if self.reported is not None else ""
        if self.accuracy is None:
            lines.append(f"accuracy     not measured{reported}")
        else:
            found = ", ".join(
                f"{name} {round(value, 2):g}" for name, value in self.accuracy.items()
            )
            lines.append(f"accuracy     {found}{reported}")
        return "\n".join(lines)


def verify(
    variant: str, *, imagenet: str | os.PathLike | None = None, batch_size: int = 32
) -> Verification:
    """Loads a variant's weights, computes their hashes, and runs a fixed input.

    Args:
        variant: Its name, as `list_weights` has it.
        imagenet: Folder of the images to measure the accuracy on, with one
            subfolder for each class, named by WordNet id or by the class.
            None to measure no accuracy.
        batch_size: Images at a time.

    Returns:
        A `Verification`, which prints as a report.

    Raises:
        ValueError: If there is no such variant, or a file has another hash
            than the registry or the Hub states.
        FileNotFoundError: If the weights are not published where a program can fetch them.

    Example:

    ```python
    print(keras_crate.hub.verify("crate_demo_mnist"))
    ```
    """
    chosen = variant_named(variant)
    if imagenet is not None and not chosen.classifies:
        raise ValueError(
            f"The outputs of {variant} are not classes: it has no accuracy, so give no images."
        )
    found = fetch(chosen)
    model = build(chosen)
    outputs = _outputs(model)
    likeliest = ()
    if getattr(model, "class_names", None):
        likeliest = tuple(decode_predictions(outputs, model, top=min(5, outputs.shape[1]))[0])
    accuracy = None
    if imagenet is not None:
        labelled = LabelledFolder(
            imagenet, model, Evaluation.from_dict(chosen.evaluation), batch_size
        )
        accuracy = measured_accuracy(model, labelled, verbose=1).summary()
        accuracy["left_out"] = len(labelled.images.broken)
    return Verification(
        variant=chosen.name,
        source=found.origin,
        sha256=sha256_of(found.source),
        weights=fingerprint(model),
        outputs=tuple(float(value) for value in outputs[0, :5]),
        likeliest=likeliest,
        accuracy=accuracy,
        reported=chosen.top1,
    )


def _outputs(model) -> np.ndarray:
    """The first output for the fixed input, as rows."""
    outputs = model.predict(fixed_input(model.input_shape[1:]), verbose=0)
    if isinstance(outputs, dict):  # a masked autoencoder, which hides patches at random
        image = fixed_input(model.input_shape[1:])
        noise = np.linspace(0, 1, outputs["mask"].shape[1], dtype="float32")[None]
        outputs = model.predict_with_noise(image, noise)["latent"][:, 0]
    return np.asarray(outputs).reshape(1, -1)


def fingerprint(model: keras.Model) -> str:
    """SHA-256 of a model's weights by their paths, in float32."""
    digest = hashlib.sha256()
    weights = {weight.path: weight for weight in model.weights}
    for path in sorted(weights):
        if re.search("seed", path):
            continue
        digest.update(path.encode())
        values = keras.ops.convert_to_numpy(weights[path])
        digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()


def fixed_input(shape: tuple[int, int, int]) -> np.ndarray:
    """One image of `shape`, the same everywhere: waves of pixels in [0, 255]."""
    first = keras.config.image_data_format() == "channels_first"
    sides = (*shape[1:], shape[0]) if first else shape
    axes = np.meshgrid(*(np.arange(n) for n in sides), indexing="ij")
    waves = sum(np.sin(axis * (0.1 + 0.07 * i) + i) for i, axis in enumerate(axes))
    image = (127.5 + 42.0 * waves).astype("float32")
    return (np.moveaxis(image, -1, 0) if first else image)[None]
