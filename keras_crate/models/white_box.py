"""What every model of the package can do, whatever its blocks and its output."""

import inspect
import types
import warnings

import keras
import numpy as np

from keras_crate.export.export_model import export_model
from keras_crate.keras_internals import parts_of, run_graph
from keras_crate.layers import TokenEmbedding
from keras_crate.layers.composite import changed_settings
from keras_crate.models import checks
from keras_crate.models.graph import channels_axis
from keras_crate.models.options import document
from keras_crate.models.saving import public_optimizers

HEAD_LAYERS = ("head_norm", "head")  # those with weights


class WhiteBoxModel(keras.Model):
    """Base of the models: functional Keras models of images.

    Args:
        images: Symbolic images, the model's input.
        outputs: What the graph makes of them.
        settings: The constructor's arguments in their normal form, from which
            `get_config` and `with_input_shape` make the model anew.
        policy: Dtype policy of the layers.
        name: Name of the model.
    """

    def __init__(self, images, outputs, *, settings: types.SimpleNamespace, policy, name):
        super().__init__(inputs=images, outputs=outputs, name=name)
        self.dtype_policy = policy  # float16 trains with scaled losses by it
        self.settings = settings  # a namespace, since Keras would track and rewrap a dict

    def __init_subclass__(cls, **kwargs):
        """Shows a family's users, in `help`, the options that its base class takes."""
        super().__init_subclass__(**kwargs)
        parameters = list(inspect.signature(cls.__init__).parameters.values())
        if parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
            names = {p.name for p in parameters}
            is_family = cls.__base__ is not WhiteBoxModel
            inherited = cls.__base__.__signature__.parameters.values() if is_family else ()
            parameters[-1:] = [
                p for p in inherited if p.kind is p.KEYWORD_ONLY and p.name not in names
            ]
        cls.__signature__ = inspect.Signature(parameters[1:])
        if cls.__doc__:
            options = document([p.name for p in parameters], 8, besides=cls.__doc__)
            cls.__doc__ = cls.__doc__.replace("        {options}", options)

    def __call__(self, inputs, *args, **kwargs):
        checks.check_images(inputs, self.settings.input_shape)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        # JAX's compiled steps come here without passing through __call__.
        checks.check_images(inputs, self.settings.input_shape)
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def _run_through_graph(self, inputs, operation_fn=lambda op: op, call_fn=None):
        symbolic = call_fn is not None
        if symbolic or keras.backend.backend() != "torch":
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        return run_graph(self, inputs, operation_fn)

    def fit(self, x=None, *args, **kwargs):
        _refuse_nan(x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        _refuse_nan(x)
        results = super().evaluate(x, *args, **kwargs)
        values = keras.tree.flatten(results)  # a metric may be a vector
        if any(np.isnan(np.asarray(value, "float64")).any() for value in values):
            warnings.warn(
                "`evaluate` found a loss or metric that is NaN: images have pixels that are NaN or "
                "infinite, or the model's weights are. Pass the images as an array to learn which.",
                stacklevel=2,
            )
        return results

    def with_input_shape(self, input_shape: tuple[int, int, int]) -> "WhiteBoxModel":
        """The same model for images of another size.

        All weights are copied; the table of positions is resized (bicubic).

        Args:
            input_shape: Image shape without the batch, of as many channels.

        Returns:
            A new model, not compiled. This one stays as it is.

        Raises:
            ValueError: If the shape does not suit the patches or the channels.

        Example:

        ```python
        larger = keras_crate.CRATEBase().with_input_shape((384, 384, 3))
        ```
        """
        # The settings as they are: an operator of the user's may not be serialisable.
        config = {**self.get_config(), **vars(self.settings), "input_shape": input_shape}
        axis = channels_axis(self.settings.data_format)
        input_shape = checks.check_input_shape(input_shape, self.settings.data_format)
        if input_shape[axis] != self.settings.input_shape[axis]:
            raise ValueError(
                "`input_shape` must have as many channels as the model. Received: "
                f"input_shape={input_shape}; the model has {self.settings.input_shape[axis]}."
            )
        model = type(self)(**config)
        for layer, source in zip(model.layers, self.layers, strict=True):
            if isinstance(layer, TokenEmbedding):
                layer.assign(source.class_token, source.positions, source.grid)
            else:
                layer.set_weights(source.get_weights())
        return model

    def enable_lora(self, rank: int) -> None:
        """Gives low-rank adapters to every block's linear maps; freezes the rest.

        The projections and output maps of MSSA and the dictionaries of ISTA
        are adapted; their biases, TSSA's temperatures and the head stay trainable. Saving merges
        the adapters into the weights. Compile the model afterwards.

        Args:
            rank: Rank of the adapters, 1 or more.

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
        checks.check_positive("rank", rank)
        for layer in self.layers:
            in_block = "block_" in layer.name
            if layer.name in HEAD_LAYERS:
                continue
            for part in parts_of(layer):
                if in_block and isinstance(part, keras.layers.Dense):
                    part.enable_lora(rank)
                elif part.weights and not parts_of(part, include_self=False):
                    part.trainable = False

    def export(
        self,
        filepath,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature=None,
        **kwargs,
    ) -> None:
        """Writes the model's prediction for programs that do not know Keras.

        As `keras.Model.export`, but for batches of any size in every format,
        and whole or not at all. `keras_crate.fuse` the model first.

        Args:
            filepath: File to write, or folder of a SavedModel.
            format: `"tf_saved_model"`, `"onnx"`, `"openvino"`, `"litert"` or
                `"torch"`.
            verbose: Whether the tools may print and warn.
            input_signature: A list of one `keras.InputSpec`, to fix the batch
                or rename the input.
            **kwargs: Further options, as in
                `keras_crate.export.export_model.export_model`.

        Raises:
            ValueError: If the backend cannot make the format, or it does not
                suit the path or the model.
            ImportError: If a tool is not installed.

        Example:

        ```python
        keras_crate.fuse(model).export("crate.onnx", format="onnx")
        ```
        """
        signature = {"verbose": verbose, "input_signature": input_signature}
        export_model(self, filepath, format, **signature, **kwargs)

    def get_config(self) -> dict:
        settings = {layer.name: changed_settings(layer) for layer in self.layers}
        settings = {name: changed for name, changed in settings.items() if changed}
        return {
            **vars(self.settings),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            **({"layer_settings": settings} if settings else {}),
        }

    def get_compile_config(self) -> dict:
        return public_optimizers(super().get_compile_config())

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "WhiteBoxModel":
        # A configuration that came from elsewhere must not fetch weights.
        config = {name: value for name, value in config.items() if name != "weights"}
        with keras.saving.CustomObjectScope(custom_objects or {}):
            return cls(**config)


def _refuse_nan(x) -> None:
    # Data sets and loaders are left alone: reading them ahead would consume them.
    if isinstance(x, np.ndarray) or keras.ops.is_tensor(x):
        checks.check_finite(x)
