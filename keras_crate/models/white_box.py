"""The base of all models of the package."""

import functools
import types
import warnings
from contextlib import nullcontext

import keras
import numpy as np

from keras_crate.checks import check_positive, names_arguments
from keras_crate.export import export_model
from keras_crate.keras_internals import (
    check_before_quantize,
    compile_steps_anew,
    parts_of,
    run_graph,
)
from keras_crate.layers.composite import changed_settings
from keras_crate.models import checks
from keras_crate.models.channels import with_channels
from keras_crate.models.checks import ImageShape
from keras_crate.models.early_variables import make_variables_early
from keras_crate.models.graph import Graph
from keras_crate.models.input_tensor import for_shape
from keras_crate.models.rebuild import adapted
from keras_crate.models.saving import public_optimizers
from keras_crate.models.settings import Form, Settings, built_as, channels_axis
from keras_crate.weights.assign import HEAD_LAYERS


class WhiteBoxModel(keras.Model):
    """Base of the models: functional Keras models of images."""

    settings: Settings

    def __init__(self, images, outputs, *, settings: Settings, graph: Graph, name):
        super().__init__(inputs=images, outputs=outputs, name=name)
        self.dtype_policy = graph.policy  # Keras scales the loss if it is float16
        self.settings = settings
        # Keras would track a model, and save its layers twice.
        self._before = types.SimpleNamespace(model=graph.before)
        check_before_quantize(self, functools.partial(checks.check_quantization, self))

    @property
    def layers_before(self) -> list[keras.layers.Layer]:
        """The user's layers up to `input_tensor`, if it is given."""
        return [] if self._before.model is None else self._before.model.layers

    def __call__(self, inputs, *args, **kwargs):
        checks.check_images(inputs, self.inputs[0].shape[1:])
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        # JAX's compiled steps come here without passing through __call__.
        checks.check_images(inputs, self.inputs[0].shape[1:])
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def _run_through_graph(self, inputs, operation_fn=lambda op: op, call_fn=None):
        symbolic = call_fn is not None
        if symbolic or keras.backend.backend() != "torch":
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        return run_graph(self, inputs, operation_fn)

    def fit(self, x=None, y=None, *args, **kwargs):
        checks.check_values(x)
        make_variables_early(self, x, y, kwargs.get("sample_weight"))
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        checks.check_values(x)
        make_variables_early(self, x, y, kwargs.get("sample_weight"))
        results = super().evaluate(x, y, *args, **kwargs)
        values = keras.tree.flatten(results)  # a metric may be a vector
        if any(np.isnan(np.asarray(value, "float64")).any() for value in values):
            warnings.warn(
                "`evaluate` found a loss or metric that is NaN: pixels or weights are NaN or "
                "infinite. Pass the images as an array to see which of them are.",
                stacklevel=2,
            )
        return results

    def predict(self, x=None, *args, **kwargs):
        checks.check_values(x)
        try:
            return super().predict(x, *args, **kwargs)
        except UnboundLocalError as error:  # of Keras, about the last batch
            if "batch_outputs" not in str(error):
                raise
            raise ValueError("There must be at least one image. Received: no batches") from error

    @names_arguments
    def with_input_shape(
        self, input_shape: ImageShape, channels: str | None = None
    ) -> "WhiteBoxModel":
        """Returns the same model for images of another size, or with other channels.

        All weights are copied. The table of positions is resized (bicubic). A
        model for images of any size, `(None, None, 3)`, keeps the table and
        resizes it in each call. For other channels, the patch embedding is
        computed from the model's: the new model sees in an image what this
        model sees in a mixture of the image's channels. From 3 channels to 1,
        it sees three copies of it.

        This is exact for models that do not normalise patches (`CRATEAlpha`,
        `CRATEMAE`). In a `CRATE` or `CBT`, copies of a channel are exact, and
        averages of different channels are a start for fine-tuning.

        `mean` and `std` of the new channels are those of the old ones, averaged
        or repeated; so are the pixels that a `CRATEMAE` predicts.

        Args:
            input_shape: Image shape without the batch. Height and width may be None.
            channels: What happens if the number of channels differs.
                `"average"`: each old channel is the mean of all new ones.
                `"repeat"`: the new channels take the old ones' places in turn,
                such as RGBRGB, and those in one place are averaged; places
                that are left over take the first new channels again.

        Returns:
            A new model, not compiled. The original does not change.

        Raises:
            ValueError: If the patches do not divide the shape, if the channels
                differ and `channels` is None or the model is fused or quantised,
                or if the model begins with other layers of the user's.

        Example:

        ```python
        larger = keras_crate.CRATETiny().with_input_shape((256, 256, 3))
        grey = keras_crate.CRATETiny().with_input_shape((224, 224, 1), channels="average")
        ```
        """
        axis = channels_axis(self.settings.data_format)
        input_shape = checks.check_input_shape(input_shape, self.settings.data_format)
        if input_shape == self.input_shape[1:]:
            return adapted(self)
        if self.layers_before:
            for_shape(self.layers_before, input_shape)  # refuses layers of the user's first
        if input_shape[axis] != self.settings.input_shape[axis]:
            if channels is None:
                raise ValueError(
                    f"The model is for {self.settings.input_shape[axis]} channels. Received: "
                    f'input_shape={input_shape}. Pass channels="average" or channels="repeat".'
                )
            return with_channels(self, input_shape, channels)
        return adapted(self, input_shape=input_shape)

    def save(self, filepath, *args, **kwargs) -> None:
        """Saves the model as `keras.Model.save` does.

        Raises:
            ValueError: If the `classifier_activation` is not registered with Keras.
        """
        checks.check_saveable(getattr(self.settings, "classifier_activation", None))
        super().save(filepath, *args, **kwargs)

    @names_arguments
    def enable_lora(self, rank: int) -> None:
        """Adds low-rank adapters to the linear maps of every block, and freezes the rest.

        The projections and output maps of MSSA and the dictionaries of ISTA
        are adapted. Their biases, TSSA's temperatures, CBSA's steps and the
        head stay trainable. Saving merges the adapters into the weights. If
        these are quantised, the file has both, since merging would round.
        Compile the model afterwards.

        Args:
            rank: Rank of the adapters, 1 or more.

        Raises:
            ValueError: If the rank is not positive, or the model is in float8.

        Example:

        ```python
        model = keras_crate.CRATEBase(classes=10)
        model.enable_lora(8)
        model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
        ```

        Reference:
            Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
            arXiv:2106.09685.
        """
        check_positive("rank", rank)
        if any(getattr(p, "quantization_mode", None) == "float8" for p in parts_of(self)):
            raise ValueError(
                "A float8 model takes no adapters of LoRA: Keras' float8 layers do not add them. "
                'Use "int8" or "int4", or no quantisation.'
            )
        for layer in self.layers:
            if layer.name in HEAD_LAYERS:
                continue
            in_block = "block_" in layer.name  # or "decoder_block_"
            for part in parts_of(layer):
                if in_block and isinstance(part, keras.layers.Dense):
                    part.enable_lora(rank)
                elif part.weights and not parts_of(part, include_self=False):
                    part.trainable = False
        compile_steps_anew(self)

    def export(
        self,
        filepath,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature=None,
        **kwargs,
    ) -> None:
        """Writes the model for prediction by programs that do not use Keras.

        Like `keras.Model.export`, but the exported model takes batches of any
        size in every format, and the file is written whole or not at all.
        Apply `keras_crate.fuse` first.

        Args:
            filepath, format, verbose, input_signature, **kwargs: As in
                `keras_crate.export.export_model`, whose docstring has the errors too.

        Example:

        ```python
        keras_crate.fuse(model).export("crate.onnx", format="onnx")
        ```
        """
        signature = {"verbose": verbose, "input_signature": input_signature}
        export_model(self, filepath, format, **signature, **kwargs)

    def get_config(self) -> dict:
        settings, before = dict(vars(self.settings)), self._before.model
        for name in ("fused", "evaluation", "grid"):  # of the form, left out if they are empty
            if not settings[name]:
                del settings[name]
        changed = {layer.name: changed_settings(layer) for layer in self.layers}
        changed = {name: values for name, values in changed.items() if values}
        return {
            **settings,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            **({"layer_settings": changed} if changed else {}),
            **({"input_tensor": keras.saving.serialize_keras_object(before)} if before else {}),
        }

    def get_compile_config(self) -> dict:
        return public_optimizers(super().get_compile_config())

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "WhiteBoxModel":
        config = dict(config)
        config.pop("weights", None)  # a configuration from elsewhere must not fetch weights
        form = Form.taken_from(config)
        # An empty scope would hide the objects of the user's.
        scope = keras.saving.CustomObjectScope(custom_objects) if custom_objects else nullcontext()
        with scope, built_as(form):
            return cls(**config)
