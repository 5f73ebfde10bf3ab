"""The encoder of a CRATE-MAE, as a model of its own."""

from collections.abc import Callable, Sequence

import keras

from keras_crate.checks import names_arguments
from keras_crate.layers import ISTA, MSSA
from keras_crate.models.checks import ImageShape
from keras_crate.models.classifier import Classifier
from keras_crate.models.graph import Parts
from keras_crate.models.input_tensor import InputTensor
from keras_crate.models.settings import Settings
from keras_crate.weights.find import WeightsArgument

XAVIER = {"kernel_initializer": "glorot_uniform"}


def encoder_parts(s: Settings) -> Parts:
    """The operators of a CRATE-MAE's encoder."""
    return Parts(
        compress=MSSA(s.heads, dropout_rate=s.dropout_rate, **XAVIER),
        sparsify=ISTA(s.step_size, s.penalty),
        patches={"use_norm": False, **XAVIER},
        tokens={
            "class_token_initializer": keras.initializers.RandomNormal(stddev=0.02),
            "position_initializer": "sincos2d",
            "train_positions": False,
        },
        norm_tokens=True,
        norm_epsilon=1e-6,
    )


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATEMAEEncoder(Classifier):
    """The encoder of a CRATE-MAE, as a feature extractor or with a classifier.

    `CRATEMAE.encoder()` returns one with trained weights. It differs from
    `CRATE` in three points: patches are embedded by a linear map alone; the
    positions are fixed; and the last block is followed by a normalisation of
    all tokens (`encoder_norm`). In `CRATE`, the head normalises the pooled token.

    Args:
        dim, depth, heads: As in `CRATE`.
        penalty: lambda of ISTA, >= 0; 0.5 in the authors' code.
        others: As in `CRATE`.

    Call arguments, outputs and errors are those of `CRATE`.

    Example:

    ```python
    encoder = keras_crate.CRATEMAEEncoder(
        dim=48, depth=2, heads=4, input_shape=(32, 32, 3), patch_size=8, include_top=False
    )
    ```

    Reference:
        Pai et al., arXiv:2404.02446.
    """

    @names_arguments
    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        step_size: float = 0.1,
        penalty: float = 0.5,
        weights: WeightsArgument = None,
        include_top: bool = True,
        input_shape: ImageShape | None = None,
        patch_size: int | tuple[int, int] = 16,
        classes: int = 1000,
        pooling: str | None = "token",
        classifier_activation: str | Callable | None = "softmax",
        include_preprocessing: bool = True,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        dropout_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale: float | None = None,
        rematerialise: bool = False,
        class_names: Sequence[str] | str | None = None,
        registers: int = 0,
        input_tensor: InputTensor = None,
        data_format: str | None = None,
        dtype=None,
        name: str | None = None,
    ):
        super().__init__(locals())

    @staticmethod
    def parts(settings: Settings) -> Parts:
        return encoder_parts(settings)
