"""CRATE, and its four sizes."""

import keras

from keras_crate.models.classifier import Classifier
from keras_crate.models.graph import Parts
from keras_crate.models.operators import given_operator, operator_config, operator_prototype
from keras_crate.models.sizes import size_constructor


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATE(Classifier):
    """CRATE, the white-box transformer, for image classification.

    Every block is one step of an optimisation of the sparse rate reduction:
    MSSA compresses the tokens against learned subspaces, ISTA makes them
    sparse in a learned dictionary.

        Z <- Z + MSSA(LN(Z))        layers block_i_norm_1, block_i_mssa, block_i_add
        Z <- ISTA(LN(Z))            layers block_i_norm_2, block_i_ista

    Each of the two can be exchanged for another operator with the same role.
    Its layer is named after it, such as `block_i_tssa`.

    It is a functional Keras model, so any of its layers can be an output:
    `keras.Model(model.input, model.get_layer("block_5_ista").output)`.

    Args:
        {options}
        compress: What compresses the tokens: `"mssa"`, `"tssa"`, or an
            operator of your own: a layer class, a factory or a layer. A class
            or factory is called with those of `heads` and `dropout_rate` that
            it takes by name; a layer is copied as it is. A block adds its
            tokens to what the operator makes of them, unless its attribute
            `residual` is false. To be measured, an operator has
            `subspace_bases()` as `MSSA` has; to stay quantised and adapted
            when saved, it is a `CompositeLayer`.
        sparsify: What makes them sparse: `"ista"`, `"overcomplete_ista"`, or
            an operator of your own, called with those of `step_size` and
            `penalty` that it takes. A block does not add its tokens, unless
            the attribute `residual` is true; where not the outputs are sparse
            but something inside, `sparse_codes(inputs)` gives that to be
            measured, as `OvercompleteISTA` does.

    Call arguments:
        inputs: Images of shape `(batch, *input_shape)`.

    Returns:
        Probabilities of shape `(batch, classes)`; without the head, features
        of shape `(batch, dim)`, or tokens `(batch, n + 1, dim)` with
        `pooling=None`, class token first.

    Raises:
        ValueError: If an argument is out of range, two do not fit together, or
            the weights belong to another model.
        FileNotFoundError: If there is no such weights file.

    Example:

    ```python
    model = keras_crate.CRATE(
        dim=128, depth=4, heads=4, input_shape=(32, 32, 3), patch_size=4, classes=10
    )
    model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129 (NeurIPS 2023).
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        compress="mssa",
        sparsify="ista",
        step_size: float = 0.1,
        penalty: float = 0.1,
        **options,
    ):
        dropout_rate = options.get("dropout_rate", 0.0)
        super().__init__(
            dim=dim,
            depth=depth,
            heads=heads,
            compress=given_operator("compress", compress, heads=heads, dropout_rate=dropout_rate),
            sparsify=given_operator("sparsify", sparsify, step_size=step_size, penalty=penalty),
            step_size=step_size,
            penalty=penalty,
            **options,
        )

    @staticmethod
    def parts(settings) -> Parts:
        s = settings
        compress = {"heads": s.heads, "dropout_rate": s.dropout_rate}
        sparsify = {"step_size": s.step_size, "penalty": s.penalty}
        return Parts(
            compress=operator_prototype("compress", s.compress, **compress),
            sparsify=operator_prototype("sparsify", s.sparsify, **sparsify),
        )

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "compress": operator_config(config["compress"]),
            "sparsify": operator_config(config["sparsify"]),
        }


def _size(constructor: str):
    return size_constructor(
        CRATE,
        constructor,
        reference="""Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, table 1.""",
    )


CRATETiny = _size("CRATETiny")
CRATESmall = _size("CRATESmall")
CRATEBase = _size("CRATEBase")
CRATELarge = _size("CRATELarge")
