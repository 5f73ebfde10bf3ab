"""KerasHub's four classes for each family of models."""

import keras
from keras_hub.models import Backbone, ImageClassifierPreprocessor

from keras_crate import models
from keras_crate.keras_hub.backbone import HubBackbone
from keras_crate.keras_hub.image_classifier import HubImageClassifier
from keras_crate.keras_hub.image_converter import HubImageConverter
from keras_crate.models.classifier import Classifier

_MODULE = "keras_crate.keras_hub"

_BACKBONE = """{model} as a backbone of KerasHub: images to tokens.

It is a `keras_crate.{model}` without a head. The functions of `keras_crate` accept it.

Args:
    dim, depth, heads: As in `keras_crate.{model}`.
    image_shape: Image shape without the batch.
    trainable: Whether the weights are trained.
    **settings: Further arguments of `keras_crate.{model}`, except those of its head.

Call arguments:
    inputs: Images of shape `(batch, *image_shape)`, pixels in [0, 255].

Returns:
    Tokens of shape `(batch, 1 + registers + n, dim)`: class token, registers, patches.

Example:

```python
backbone = keras_crate.keras_hub.{name}Backbone(48, 2, 4, image_shape=(32, 32, 3), patch_size=8)
```
"""

_CLASSIFIER = """{model} as an image classifier of KerasHub.

Args:
    backbone: A `{name}Backbone`.
    num_classes: Number of classes, >= 1.
    preprocessor: A `{name}ImageClassifierPreprocessor`, or None. It is changed
        to resize images to the backbone's size.
    pooling: `"token"` (class token), `"avg"` or `"max"` (mean or maximum of all tokens).
    activation: Activation of the head; None for logits.
    **kwargs: `name`, and `compile=False` for a task without optimizer and loss.

Example:

```python
classifier = keras_crate.keras_hub.{name}ImageClassifier(backbone, num_classes=3)
```
"""

_PREPROCESSOR = "Prepares images for a `{name}ImageClassifier` by its `image_converter`."
_CONVERTER = "Resizes images for a `{name}Backbone`, which normalises pixels itself."


def _family(name: str, model: type[Classifier]) -> tuple[type, type, type, type]:
    """Makes and registers KerasHub's classes for a model."""

    def make(suffix: str, bases: tuple, doc: str, **attributes) -> type:
        text = doc.format(name=name, model=model.__name__)
        made = type(name + suffix, bases, {"__doc__": text, "__module__": _MODULE, **attributes})
        return keras.saving.register_keras_serializable(package="keras_crate")(made)

    backbone = make("Backbone", (HubBackbone, model, Backbone), _BACKBONE)
    converter = make("ImageConverter", (HubImageConverter,), _CONVERTER, backbone_cls=backbone)
    preprocessor = make(
        "ImageClassifierPreprocessor",
        (ImageClassifierPreprocessor,),
        _PREPROCESSOR,
        backbone_cls=backbone,
        image_converter_cls=converter,
    )
    classifier = make(
        "ImageClassifier",
        (HubImageClassifier,),
        _CLASSIFIER,
        backbone_cls=backbone,
        preprocessor_cls=preprocessor,
    )
    return backbone, converter, preprocessor, classifier


(
    CRATEBackbone,
    CRATEImageConverter,
    CRATEImageClassifierPreprocessor,
    CRATEImageClassifier,
) = _family("CRATE", models.CRATE)
(
    CRATEAlphaBackbone,
    CRATEAlphaImageConverter,
    CRATEAlphaImageClassifierPreprocessor,
    CRATEAlphaImageClassifier,
) = _family("CRATEAlpha", models.CRATEAlpha)
(
    CRATEMAEBackbone,
    CRATEMAEImageConverter,
    CRATEMAEImageClassifierPreprocessor,
    CRATEMAEImageClassifier,
) = _family("CRATEMAE", models.CRATEMAEEncoder)
(
    CBTBackbone,
    CBTImageConverter,
    CBTImageClassifierPreprocessor,
    CBTImageClassifier,
) = _family("CBT", models.CBT)
