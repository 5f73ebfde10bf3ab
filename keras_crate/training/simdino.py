"""SimDINO: learning from images without labels, by the coding rate."""

import math
import types
import warnings

import keras
import numpy as np
from keras import ops

from keras_crate.checks import (
    check_above_zero,
    check_not_negative,
    check_positive,
    check_rate,
    names_arguments,
)
from keras_crate.distributed.replicas import of_all_replicas, share_of_replica
from keras_crate.models import checks
from keras_crate.models.own_loss import OwnLoss
from keras_crate.models.rebuild import made_anew
from keras_crate.objective import simdino_loss
from keras_crate.training.multi_crop import MultiCrop
from keras_crate.training.simdino_encoder import at_size, image_shape_of, small_size


@keras.saving.register_keras_serializable(package="keras_crate")
class SimDINO(OwnLoss, keras.Model):
    """SimDINO: trains an encoder of images without labels.

    Two large and several small crops are cut from each image. The encoder and a
    projection, together the student, learn that the features of an image's
    crops agree with those that a teacher has of the large crops. The teacher is
    a moving average of the student. The coding rate of the features, as high as
    possible, prevents that all images get the same features.

    The model has its own loss. `compile` takes no loss, and `fit` no labels;
    those of a data set are ignored. After training, `encoder()` returns the
    teacher's encoder, as the authors use it. Each epoch's values have `loss`;
    `compression`, the mean cosine similarity; and `coding_rate` in nats.
    `fit` warns if the features collapse: if their coding rate is hardly above
    that of equal features for all images.

    Args:
        encoder: The student's encoder, which `fit` trains: a model of this package
            with `include_top=False`, or any model from images
            `(n, height, width, channels)` with pixels in [0, 255] to features
            `(n, d)`. Without `include_preprocessing`, the model must take pixels
            in [0, 255] all the same.
        local_crops: Number of small crops of an image, >= 0.
        local_size: Side of small crops in pixels, a multiple of the patch size.
            By default 3/7 of the encoder's, as 96 of 224. Small crops go through
            the same layers; positions are resized (bicubic), as the authors do.
            Encoders of other packages get small crops in their own size unless
            `local_size` is given, and must then accept it.
        input_shape: Shape of the images that crops are cut from. By default, the
            encoder's. Larger images keep more detail in small crops.
        global_area, local_area: Lowest and highest share in (0, 1] of an image's
            area in large and small crops.
        flip: Whether crops are flipped left to right at random.
        colours: Whether brightness, contrast, hue, saturation, sharpness change
            at random, as in DINO.
        projection_dim: Width of the features that are compared.
        hidden_dim: Width of the projection's two hidden layers.
        eps, coefficient, smooth: As in `keras_crate.objective.simdino_loss`.
        momentum: Momentum in [0, 1) of the teacher at the beginning. It rises to
            1 as a cosine until the last step of `fit`, and is constant if the
            number of steps is not known.
        name: Name of the model.

    Call arguments:
        inputs: Images of shape `(n, *input_shape)`, pixels in [0, 255].

    Returns:
        The projected features of length 1: the student's of all crops
        `(n, 2 + local_crops, projection_dim)` and the teacher's of the large
        crops `(n, 2, projection_dim)`.

    Raises:
        ValueError: If an argument is out of range, the encoder does not give one
            vector an image, or crops are smaller than a patch; by `fit`, if it
            gets labels or a batch of one image.

    Example:

    ```python
    encoder = keras_crate.CRATE(
        24, 2, 2, input_shape=(32, 32, 3), patch_size=8, include_top=False
    )
    model = keras_crate.training.SimDINO(encoder, local_crops=2, hidden_dim=64)
    model.compile("adamw")
    model.fit(images, verbose=0)
    features = model.encoder().predict(images, verbose=0)  # (2, 24)
    ```

    Reference:
        Wu et al., "Simplifying DINO via Coding Rate Regularization",
        arXiv:2502.10385. The crops are those of Caron et al., arXiv:2104.14294.
    """

    @names_arguments
    def __init__(
        self,
        encoder: keras.Model,
        *,
        local_crops: int = 8,
        local_size: int | None = None,
        input_shape: tuple[int, int, int] | None = None,
        global_area: tuple[float, float] = (0.4, 1.0),
        local_area: tuple[float, float] = (0.05, 0.4),
        flip: bool = True,
        colours: bool = True,
        projection_dim: int = 256,
        hidden_dim: int = 2048,
        eps: float = 0.05,
        coefficient: float = 1.0,
        smooth: bool = True,
        momentum: float = 0.996,
        name: str | None = None,
    ):
        given = locals()
        settings = {k: v for k, v in given.items() if k not in ("self", "encoder", "name")}
        settings.pop("__class__")
        shape = image_shape_of(encoder)
        super().__init__(name=name, dtype=encoder.dtype_policy, autocast=False)
        self.settings = types.SimpleNamespace(**settings)
        self._check()
        self.image_shape = checks.check_input_shape(input_shape or shape, "channels_last")
        if self.image_shape[-1] != shape[-1]:
            raise ValueError(
                f"`input_shape` must have as many channels as the encoder, {shape[-1]}. Received: "
                f"input_shape={input_shape}"
            )
        local_size = small_size(encoder, local_size)
        self.crops = MultiCrop(
            shape[:2],
            local_size,
            local_crops,
            global_area,
            local_area,
            flip,
            colours,
            name="crops",
            dtype="float32",
        )
        self.student, self.teacher = encoder, _copy(encoder)
        dims = encoder.output_shape[-1], hidden_dim, projection_dim, encoder.dtype_policy
        self.projection, self.teacher_projection = _projection(*dims), _projection(*dims)
        self.teacher_projection.set_weights(_copies(self.projection))
        self.teacher.trainable = self.teacher_projection.trainable = False
        # Not tracked by Keras, since its layers are the student's.
        self._local = types.SimpleNamespace(student=at_size(encoder, local_size))
        # Steps since the training's beginning, and until its end; -1 if that is not known.
        self.steps = self.add_weight(
            shape=(2,), initializer=_no_steps, dtype="int32", trainable=False, name="steps"
        )
        self.compression = keras.metrics.Mean("compression")
        self.coding_rate = keras.metrics.Mean("coding_rate")
        self.built = True

    def _check(self) -> None:
        s = self.settings
        if s.local_crops != 0:
            check_positive("local_crops", s.local_crops)
        check_positive("projection_dim", s.projection_dim)
        check_positive("hidden_dim", s.hidden_dim)
        check_above_zero("eps", s.eps)
        check_not_negative("coefficient", s.coefficient)
        check_rate("momentum", s.momentum)
        for name in ("global_area", "local_area"):
            low, high = getattr(s, name)
            if not 0 < low <= high <= 1:
                raise ValueError(
                    f"`{name}` must be a pair (lowest, highest) in (0, 1]. Received: {name}="
                    f"{getattr(s, name)!r}"
                )

    @property
    def input_shape(self) -> tuple:
        """Shape of a batch of images."""
        return (None, *self.image_shape)

    @property
    def trained_layers(self) -> list[keras.layers.Layer]:
        """The layers that an optimizer updates."""
        return [*self.student.layers, *self.projection.layers]

    def call(self, inputs, training=None):
        checks.check_images(inputs, self.image_shape)
        if inputs.shape[0] == 1:
            raise ValueError(
                "SimDINO compares images, so a batch must hold two or more. Received: a batch of "
                "one image. Choose another `batch_size`, or leave the last image out."
            )
        if training:
            self._update_teacher()
        large, small = self.crops(inputs)
        features = self.student(large, training=training)
        if small is not None:
            small = self._local.student(small, training=training)
            features = ops.concatenate([features, small])
        theirs = self.teacher_projection(self.teacher(large, training=False))
        return (
            self._by_image(self.projection(features), 2 + self.settings.local_crops),
            self._by_image(ops.stop_gradient(theirs), 2),
        )

    def _by_image(self, features, crops: int):
        features = ops.reshape(features, (crops, -1, self.settings.projection_dim))
        return ops.transpose(features, (1, 0, 2))

    def _update_teacher(self) -> None:
        """Moves the teacher towards the student as the step before left it."""
        done, total = (ops.cast(self.steps[k], "float32") for k in (0, 1))
        share = ops.clip((done - 1) / ops.maximum(total, 1), 0, 1)
        share = ops.where(total < 0, 0.0, share)
        rate = (1 - self.settings.momentum) * (1 + ops.cos(math.pi * share)) / 2
        teacher = [*self.teacher.weights, *self.teacher_projection.weights]
        student = [*self.student.weights, *self.projection.weights]
        for theirs, ours in zip(teacher, student, strict=True):
            change = ops.stop_gradient(ops.subtract(ours, theirs))
            theirs.assign(ops.add(theirs, ops.cast(rate, theirs.dtype) * change))
        self.steps.assign(self.steps + np.array([1, 0], "int32"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of SimDINO, over the images of all devices.

        Args:
            x, y, sample_weight, training: Ignored.
            y_pred: The model's outputs.

        Returns:
            A scalar tensor.
        """
        # Before other replicas' images are awaited: they add their own terms meanwhile.
        penalty = sum(self.student.losses)
        student, teacher = (ops.transpose(of_all_replicas(z), (1, 0, 2)) for z in y_pred)
        s = self.settings
        loss = simdino_loss(student, teacher, s.eps, s.coefficient, s.smooth)
        self.compression.update_state(loss.compression)
        self.coding_rate.update_state(loss.coding_rate)
        return share_of_replica(loss.total + penalty)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **options):
        """As `keras.Model.fit`, without labels. The momentum rises until the last epoch's end."""
        _refuse_labels(x, y)
        _refuse_single(x, batch_size)
        steps = options.get("steps_per_epoch") or _steps(x, batch_size)
        first = options.get("initial_epoch", 0)
        self.steps.assign([first * steps, epochs * steps] if steps else [0, -1])
        callbacks = [*(options.pop("callbacks", None) or ()), _CollapseWarning()]
        arguments = {"batch_size": batch_size, "epochs": epochs, "callbacks": callbacks}
        return super().fit(x, **arguments, **options)

    def evaluate(self, x=None, y=None, batch_size=None, **options):
        """As `keras.Model.evaluate`, without labels: the loss of random crops."""
        _refuse_labels(x, y)
        _refuse_single(x, batch_size)
        return super().evaluate(x, batch_size=batch_size, **options)

    def encoder(self) -> keras.Model:
        """Returns a copy of the teacher's encoder, not compiled: a model from images to features.

        Example:

        ```python
        classifier = keras_crate.training.finetune("simdino.keras", "cifar10", "cifar10")
        features = simdino.encoder().predict(images)
        ```
        """
        return _copy(self.student, self.teacher.get_weights())

    def with_encoder(self, encoder: keras.Model) -> "SimDINO":
        """Returns the same model with an encoder of the same form, not compiled."""
        new = SimDINO(encoder, **vars(self.settings), name=self.name)
        for part in ("teacher", "projection", "teacher_projection"):
            getattr(new, part).set_weights(getattr(self, part).get_weights())
        return new

    def get_config(self) -> dict:
        encoder = keras.saving.serialize_keras_object(self.student)
        return {"encoder": encoder, **vars(self.settings), "name": self.name}

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "SimDINO":
        with keras.saving.CustomObjectScope(custom_objects or {}):
            encoder = keras.saving.deserialize_keras_object(config["encoder"])
            return cls(**{**config, "encoder": encoder})


class _CollapseWarning(keras.callbacks.Callback):
    """Warns if the features of all images are nearly the same for three epochs, or at the end.

    Initial features may be so, and spread when the training begins.
    """

    collapsed, rate = 0, math.inf  # epochs in a row, and the last one's coding rate

    def on_epoch_end(self, epoch, logs=None):
        self.rate = logs["coding_rate"]
        self.collapsed = self.collapsed + 1 if self.rate <= 1.05 * self._lowest() else 0
        if self.collapsed == 3:
            self._warn()

    def on_train_end(self, logs=None):
        if 0 < self.collapsed < 3:
            self._warn()

    def _lowest(self) -> float:
        s = self.model.settings
        return math.log1p(s.projection_dim / s.eps) / 2  # of equal features of length 1

    def _warn(self) -> None:
        warnings.warn(
            f"The features collapse: their coding rate is {self.rate:.2f} nats, and "
            f"{self._lowest():.2f} is that of equal features for all images. Lower "
            "`learning_rate`, `coefficient` or `eps`, or enlarge the batch.",
            stacklevel=2,
        )


def _projection(features: int, hidden: int, units: int, dtype) -> keras.Sequential:
    """The projection: three linear maps with GELU, and scaling to length 1."""
    options = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02), "dtype": dtype}
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((features,)),
            layers.Dense(hidden, "gelu", name="hidden_1", **options),
            layers.Dense(hidden, "gelu", name="hidden_2", **options),
            layers.Dense(units, name="features", **options),
            layers.UnitNormalization(name="length_1", dtype="float32"),
        ]
    )


def _copy(model: keras.Model, weights=None) -> keras.Model:
    """Returns a model of the same form, with given or the same weights."""
    copy = made_anew(model)
    copy.set_weights(_copies(model) if weights is None else weights)
    return copy


def _copies(model: keras.Model) -> list:
    """Copies of the weights on their devices, since processes may divide them."""
    return [ops.copy(weight.value) for weight in model.weights]


def _no_steps(shape, dtype=None):
    return ops.convert_to_tensor([0, -1], dtype=dtype)


def _refuse_labels(x, y) -> None:
    if y is None and not isinstance(x, (tuple, list)):
        return
    received = "a pair" if y is None else f"labels of shape {getattr(y, 'shape', len(y))}"
    raise ValueError(f"SimDINO learns without labels: pass the images alone. Received: {received}")


def _refuse_single(x, batch_size) -> None:
    size, images = batch_size or 32, len(x) if hasattr(x, "shape") else 0
    if size == 1 or images % size == 1:
        raise ValueError(
            f"SimDINO compares images, so each batch must hold two or more. Received: {images} "
            f"images with batch_size={size}, which makes a batch of one. Choose another "
            "`batch_size`, or leave an image out."
        )


def _steps(x, batch_size) -> int | None:
    """Steps of an epoch, or None if they are not known."""
    try:
        return -(-len(x) // (batch_size or 32)) if hasattr(x, "shape") else len(x)
    except TypeError:
        return None
