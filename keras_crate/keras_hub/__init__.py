"""The models as backbones and tasks of KerasHub. Importing this module registers them.

After `import keras_crate.keras_hub`, the folders and repositories that
`keras_crate.hub.push` wrote are presets of KerasHub:

```python
import keras_crate.keras_hub
import keras_hub

classifier = keras_hub.models.ImageClassifier.from_preset("hf://user/name", num_classes=3)
```

After this import, KerasHub's `Backbone.from_preset` and `keras.saving.load_model` load a published
folder as a backbone, without the head. `keras_crate.hub.pull` always loads the whole model.
"""

from keras_crate.extras import needed

with needed("keras-hub", "Presets of KerasHub need"):
    import keras_hub  # noqa: F401

from keras_crate.keras_hub.families import (
    CBTBackbone,
    CBTImageClassifier,
    CBTImageClassifierPreprocessor,
    CBTImageConverter,
    CRATEAlphaBackbone,
    CRATEAlphaImageClassifier,
    CRATEAlphaImageClassifierPreprocessor,
    CRATEAlphaImageConverter,
    CRATEBackbone,
    CRATEImageClassifier,
    CRATEImageClassifierPreprocessor,
    CRATEImageConverter,
    CRATEMAEBackbone,
    CRATEMAEImageClassifier,
    CRATEMAEImageClassifierPreprocessor,
    CRATEMAEImageConverter,
)

__all__ = [
    "CBTBackbone",
    "CBTImageClassifier",
    "CBTImageClassifierPreprocessor",
    "CBTImageConverter",
    "CRATEAlphaBackbone",
    "CRATEAlphaImageClassifier",
    "CRATEAlphaImageClassifierPreprocessor",
    "CRATEAlphaImageConverter",
    "CRATEBackbone",
    "CRATEImageClassifier",
    "CRATEImageClassifierPreprocessor",
    "CRATEImageConverter",
    "CRATEMAEBackbone",
    "CRATEMAEImageClassifier",
    "CRATEMAEImageClassifierPreprocessor",
    "CRATEMAEImageConverter",
]


def __dir__():
    return sorted(__all__)
