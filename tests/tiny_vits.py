"""Tiny vision transformers of KerasHub, whose weights are all random."""

import numpy as np

# Number of tokens before the patches'.
PREFIX = {"ViTBackbone": 1, "DeiTBackbone": 2, "DINOV2Backbone": 4}


def tiny_backbone(name: str, **changes):
    """A backbone of 2 layers, 2 heads and width 16, for images of shape `model.image_shape`."""
    import keras_hub

    settings = {"image_shape": (32, 24, 3), "patch_size": 8, "num_layers": 2, "num_heads": 2}
    settings |= {"hidden_dim": 16, "mlp_dim" if name == "ViTBackbone" else "intermediate_dim": 32}
    if name == "DINOV2Backbone":  # takes square images only
        settings |= {"image_shape": (32, 32, 3), "position_embedding_shape": (32, 32, 3)}
        settings |= {"num_register_tokens": 3}
    model = getattr(keras_hub.models, name)(**settings | changes)
    rng = np.random.default_rng(1)
    model.set_weights([w + rng.normal(0, 0.2, w.shape) for w in model.get_weights()])
    return model


def encoder_layers(model) -> list:
    """The layers of the backbone's blocks."""
    encoder = model.layers[2]
    return getattr(encoder, "encoder_layers", None) or encoder.layers
