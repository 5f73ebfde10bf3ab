"""The models that `peers.py` compares: CRATE, KerasHub's ViT-S, and CRATE in eager PyTorch."""

import importlib.util
from collections.abc import Callable

import keras
import multiplications as counted
import numpy as np
from eager import EagerCRATE

from keras_crate.extras import needed
from keras_crate.models import CRATEBase, CRATELarge, CRATESmall, CRATETiny, fuse

SIZES_OF_CRATE = {"T": CRATETiny, "S": CRATESmall, "B": CRATEBase, "L": CRATELarge}
BASES = {"predict": "CRATE-B fused", "train": "CRATE-B"}  # the others are compared with these
VIT, EAGER = "ViT-S (KerasHub)", "CRATE-B, eager PyTorch, three products"


def crate(size: str = "B", side: int = 224, **options) -> keras.Model:
    """A CRATE that computes logits of normalised images."""
    return SIZES_OF_CRATE[size](
        input_shape=(side, side, 3),
        data_format="channels_last",
        include_preprocessing=False,
        classifier_activation=None,
        **options,
    )


def vit(side: int = 224, **options) -> keras.Model:
    """KerasHub's ViT-S/16 that computes logits: 22.05 million parameters at 224 pixels."""
    with needed("keras-hub", "The comparison with KerasHub's ViT needs"):
        from keras_hub import models
    backbone = models.ViTBackbone(
        image_shape=(side, side, 3),
        patch_size=16,
        num_layers=12,
        num_heads=6,
        hidden_dim=384,
        mlp_dim=1536,
        **options,
    )
    return models.ViTImageClassifier(backbone, num_classes=1000, activation=None, **options)


def images_and_labels(batch: int, side: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Random images `(batch, side, side, 3)` and labels `(batch,)`."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, side, side, 3), "float32")
    return images, rng.integers(0, 1000, batch)


def compile_to_train(model: keras.Model) -> keras.Model:
    """Compiles a model with AdamW and cross-entropy, the same for every model compared."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss)
    return model


def contenders(task: str, policy: str) -> dict[str, Callable]:
    """The compared calls by name: functions of images and labels, from NumPy to NumPy.

    Args:
        task: `"predict"` or `"train"`.
        policy: Keras' dtype policy.
    """
    base, other = crate(dtype=policy), vit(dtype=policy)
    if task == "predict":
        models = {BASES[task]: fuse(base), "CRATE-B": base, VIT: other}
        calls = {name: predict_call(model) for name, model in models.items()}
    else:
        models = {BASES[task]: base, VIT: other}
        calls = {name: compile_to_train(model).train_on_batch for name, model in models.items()}
    if importlib.util.find_spec("torch"):
        dtype = keras.dtype_policies.get(policy).compute_dtype
        eager = EagerCRATE(crate(dtype="float32"), dtype=dtype)
        calls[EAGER] = eager.train if task == "train" else lambda x, y: eager.predict(x)
    return calls


def predict_call(model: keras.Model) -> Callable:
    """`predict_on_batch` as a function of images and labels, which it ignores."""
    return lambda images, labels=None: model.predict_on_batch(images)


def multiplications(name: str) -> int:
    """Multiplications of a compared model's forward pass of one image of 224 x 224 pixels."""
    if name == VIT:
        return counted.vit(dim=384, depth=12)
    return counted.of_size("CRATEBase", products=3 if name == EAGER else 1)
