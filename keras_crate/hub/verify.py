"""`verify`: hash, fingerprint and accuracy of published weights."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.evaluation import Evaluation, LabelledFolder
from keras_crate.evaluation import accuracy as measured_accuracy
from keras_crate.models.class_names import decode_predictions
from keras_crate.models.fingerprint import fingerprint
from keras_crate.models.load import build
from keras_crate.weights.find import fetch
from keras_crate.weights.hub_files import known_hash
from keras_crate.weights.variants import variant_named


@names_arguments
@dataclasses.dataclass(frozen=True)
class Verification:
    """The result of `verify`.

    Attributes:
        variant: The variant's name.
        source: Where the weights come from.
        sha256: SHA-256 of the weights file.
        weights: SHA-256 of the values of all weights, in the order of their
            paths. It is the same on every backend.
        outputs: The first outputs for the fixed input.
        likeliest: The likeliest classes of the fixed input, if classes have names.
        accuracy: `top1`, `top5` and the number of images, or None if no images
            were given.
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


@names_arguments
def verify(
    variant: str, *, imagenet: str | os.PathLike | None = None, batch_size: int = 32
) -> Verification:
    """Loads a variant's weights, computes their hashes, and runs a fixed input.

    Args:
        variant: Name of a variant in `list_weights`.
        imagenet: Folder of the images to measure the accuracy on, with one
            folder for each class, which has the class's name or its WordNet
            identifier. None to measure no accuracy.
        batch_size: Images at a time.

    Returns:
        A `Verification`, which prints as a report.

    Raises:
        ValueError: If there is no such variant, or a file's hash is not that of
            the Hub or of the registry.
        FileNotFoundError: If no program can fetch the weights.

    Example:

    ```python
    print(keras_crate.hub.verify("crate_demo_mnist"))
    ```
    """
    chosen = variant_named(variant)
    if imagenet is not None:
        chosen.check_classifies()
    found = fetch(chosen)
    model = build(chosen, weights=found.source)
    outputs = outputs_for_fixed_input(model)
    likeliest = ()
    if getattr(model, "class_names", None):
        likeliest = tuple(decode_predictions(outputs, model, top=min(5, outputs.shape[1]))[0])
    accuracy = None
    if imagenet is not None:
        labelled = LabelledFolder(imagenet, model, Evaluation.for_model(model), batch_size)
        accuracy = measured_accuracy(model, labelled, verbose=1).summary()
        accuracy["left_out"] = len(labelled.images.broken)
    return Verification(
        variant=chosen.name,
        source=found.origin,
        sha256=known_hash(Path(found.source)),
        weights=fingerprint(model),
        outputs=tuple(float(value) for value in outputs[0, :5]),
        likeliest=likeliest,
        accuracy=accuracy,
        reported=chosen.top1,
    )


def outputs_for_fixed_input(model: keras.Model) -> np.ndarray:
    """Returns the model's outputs for the fixed input, of shape `(1, outputs)`."""
    outputs = model.predict(fixed_input(model.input_shape[1:]), verbose=0)
    if isinstance(outputs, dict):  # a masked autoencoder, which hides patches at random
        image = fixed_input(model.input_shape[1:])
        noise = np.linspace(0, 1, outputs["mask"].shape[1], dtype="float32")[None]
        outputs = model.predict_with_noise(image, noise)["latent"][:, 0]
    return np.asarray(outputs).reshape(1, -1)


def fixed_input(shape: tuple[int, int, int]) -> np.ndarray:
    """Returns a batch of one image with waves of pixels in [0, 255], always the same."""
    first = keras.config.image_data_format() == "channels_first"
    sides = (*shape[1:], shape[0]) if first else shape
    axes = np.meshgrid(*(np.arange(n) for n in sides), indexing="ij")
    waves = sum(np.sin(axis * (0.1 + 0.07 * i) + i) for i, axis in enumerate(axes))
    image = (127.5 + 42.0 * waves).astype("float32")
    return (np.moveaxis(image, -1, 0) if first else image)[None]
