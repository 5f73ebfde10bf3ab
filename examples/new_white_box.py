"""A new white-box architecture: defines an operator, trains a model with it, measures it.

    python examples/new_white_box.py new.keras

The operator is MSSA as the paper derives it, a gradient step on the coding rate R^c
(Yu et al., arXiv:2306.01129, section 2.3). The same bases that project the tokens
into the subspaces map them back, where the authors' code learns an output map.
"""

import argparse

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras import ops


@keras.saving.register_keras_serializable(package="examples")
class PaperMSSA(keras_crate.layers.SubspaceLayer):
    """Z + kappa g (MSSA(Z) - Z), MSSA(Z) = g sum_k SSA(Z U_k) U_k^T, g = p / (n eps^2)."""

    def __init__(self, heads, kappa=0.5, eps=1.0, **kwargs):
        super().__init__(heads, **kwargs)
        self.kappa, self.eps = kappa, eps

    def has_output_map(self):
        return False  # the subspaces' bases map back

    def call(self, inputs):
        w = self.coordinates(inputs)  # (batch, heads, n, p)
        attention = ops.softmax(ops.matmul(w, ops.transpose(w, (0, 1, 3, 2))))
        gain = self.head_dim / (inputs.shape[1] * self.eps**2)
        bases = ops.cast(self.subspace_bases(), w.dtype)
        mssa = gain * ops.einsum("bknp,kdp->bnd", ops.matmul(attention, w), bases)
        return self.kappa * gain * (mssa - inputs)  # the block adds its tokens

    def get_config(self):
        return {**super().get_config(), "kappa": self.kappa, "eps": self.eps}


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("output", help="file for the trained model (.keras)")
parser.add_argument("--epochs", type=int, default=10, help="(%(default)s)")
arguments = parser.parse_args()

keras.utils.set_random_seed(0)
digits = keras_crate.data.load("mnist5k")
train, validation = digits.train, digits.validation
model = keras_crate.CRATE(
    dim=64,
    depth=3,
    heads=4,
    compress=PaperMSSA,
    sparsify="ista",
    input_shape=train.images.shape[1:],
    patch_size=7,
    classes=10,
)
model.compile(
    keras.optimizers.AdamW(2e-3, weight_decay=0.01),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(train.images, train.labels, batch_size=128, epochs=arguments.epochs, verbose=2)
_, accuracy = model.evaluate(validation.images, validation.labels, verbose=0)
print(f"{accuracy:.1%} of {len(validation)} validation digits")
print(keras_crate.objective.measure(model, validation.images[:256], convention="paper"))
model.save(arguments.output)
print("wrote", arguments.output)
