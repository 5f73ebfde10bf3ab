"""Makes the view of a model."""

import dataclasses

import keras

from keras_crate.models.blocks import white_box_blocks
from keras_crate.models.keras_hub_view import backbone_view, keras_hub_classes
from keras_crate.models.model_view import BlockView, ModelView
from keras_crate.models.settings import channels_axis
from keras_crate.models.white_box import WhiteBoxModel


def view_of(model: keras.Model | ModelView, images=None) -> ModelView:
    """Returns the view of a model, or of a copy of it for images of another size."""
    if isinstance(model, ModelView):
        return model
    if "Task" in keras_hub_classes(model):
        inner = view_of(model.backbone)
        return dataclasses.replace(inner, prepare=model.preprocessor)
    if view := backbone_view(model):
        return view
    shape = tuple(getattr(images, "shape", ()))[1:]
    if isinstance(model, WhiteBoxModel) and len(shape) == 3 and shape != model.inputs[0].shape[1:]:
        axis = channels_axis(model.settings.data_format)
        own = model.input_shape[1:][axis]
        if shape[axis] != own:
            raise ValueError(
                f"The model takes images of {own} channels. Received: images of shape "
                f"{tuple(images.shape)}"
            )
        model = model.with_input_shape(shape)
    blocks = [
        BlockView(b.compress, b.compress.input, b.half_step, b.output, b.sparsify)
        for b in white_box_blocks(model)
    ]
    embedding = model.get_layer("token_embedding")
    # A user's layer of this name may be of another class.
    prefix = getattr(embedding, "prefix_tokens", 1)
    return ModelView(model, blocks, embedding.grid, prefix)
