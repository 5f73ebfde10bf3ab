# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A new white box
#
# At the end you have a transformer with an operator of your own, which is trained, measured layer by
# layer, saved and loaded like the package's models.
#
# It needs `pip install ".[demo]"` and a backend, and takes less than a minute on two CPU cores.

# %% [markdown]
# ## The operator
#
# A block of CRATE has two operators: one compresses the tokens (MSSA, an attention), the other makes them sparse
# (ISTA). Each can be replaced. Here you replace the first by MSSA as the paper derives it
# ([arXiv:2306.01129](https://arxiv.org/abs/2306.01129), section 2.3): a gradient step on the coding rate
# R^c. In the paper's form, the bases that project the tokens into the subspaces also map them back. The authors' code
# and `keras_crate.layers.MSSA` learn an output map instead.
#
# `SubspaceLayer` has the bases and the methods `coordinates` and `subspace_bases`. Registering the class lets
# Keras find it when it loads a saved model.

# %%
import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras import ops


@keras.saving.register_keras_serializable(package="guides")
class PaperMSSA(keras_crate.layers.SubspaceLayer):
    """kappa g (MSSA(Z) - Z), MSSA(Z) = g sum_k SSA(Z U_k) U_k^T, g = p / (n eps^2)."""

    def __init__(self, heads, kappa=0.5, eps=1.0, **kwargs):
        super().__init__(heads, **kwargs)
        self.kappa, self.eps = kappa, eps

    def has_output_map(self):
        return False  # the subspaces' bases map back

    def call(self, inputs):
        w = self.coordinates(inputs)  # (batch, heads, n, p)
        attention = ops.softmax(ops.matmul(w, ops.transpose(w, (0, 1, 3, 2))))
        gain = self.head_dim / (inputs.shape[1] * self.eps**2)
        bases = ops.cast(self.subspace_bases(), w.dtype)  # (heads, d, p)
        mssa = gain * ops.einsum("bknp,kdp->bnd", ops.matmul(attention, w), bases)
        return self.kappa * gain * (mssa - inputs)  # the block adds its tokens

    def get_config(self):
        return {**super().get_config(), "kappa": self.kappa, "eps": self.eps}


# %% [markdown]
# ## Train
#
# `compress` takes the class, and `sparsify` is ISTA as before. Everything else is as in any model of the package.

# %%
keras.utils.set_random_seed(0)
digits = keras_crate.data.load("mnist5k")
images, labels = digits.train.images[:1600], digits.train.labels[:1600]
validation = digits.validation


def new_model(compress):
    return keras_crate.CRATE(
        dim=64,
        depth=3,
        heads=4,
        compress=compress,
        sparsify="ista",
        input_shape=(28, 28, 1),
        patch_size=7,
        classes=10,
    )


models = {"paper's MSSA": new_model(PaperMSSA), "authors' MSSA": new_model("mssa")}
accuracies = {}
for name, model in models.items():
    model.compile(
        keras.optimizers.AdamW(3e-3, weight_decay=0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images, labels, batch_size=64, epochs=4, verbose=0)
    _, accuracies[name] = model.evaluate(validation.images, validation.labels, verbose=0)
    print(f"{name}: {model.count_params():,} parameters, accuracy {accuracies[name]:.1%}")

# %% [markdown]
# This is one seed and a short training. [Compare a CRATE and a ViT](compare_crate_and_vit.ipynb) shows how
# to compare models with several seeds.
#
# ## Measure
#
# `measure` calls `subspace_bases` of the operator, and returns coding rate and sparsity at every block.

# %%
measured = {
    name: keras_crate.objective.measure(model, validation.images[:128])
    for name, model in models.items()
}
print(measured["paper's MSSA"])
measured["paper's MSSA"].plot("paper's MSSA", {"authors' MSSA": measured["authors' MSSA"]})

# %% [markdown]
# ## Look inside
#
# For attention maps, the operator's `call` needs the argument `return_attention_scores`, as `MSSA` has it. The new
# operator has none, so this figure shows the tokens, which need no change.

# %%
shown = validation.images[:4]
found = keras_crate.interpret.token_pca(models["paper's MSSA"], shown, foreground=False)
keras_crate.interpret.plot_token_pca(shown, found)

# %% [markdown]
# ## Save and load
#
# A saved model has the operator's name, not its code. Before you load the model, run the definition of the class, or
# import the module that has it, so that the class is registered.

# %%
models["paper's MSSA"].save("new.keras")
loaded = keras.saving.load_model("new.keras")
outputs = (model.predict(shown, verbose=0) for model in (models["paper's MSSA"], loaded))
difference = float(ops.max(ops.abs(ops.subtract(*outputs))))
print(f"largest difference of the probabilities: {difference:.1g}")

# %% [markdown]
# The operator is built on the package's layers, so LoRA adapters and quantisation also work, and are saved.

# %%
loaded.enable_lora(4)
print(sum(int(ops.size(w)) for w in loaded.trainable_weights), "trainable weights with LoRA")

# %% [markdown]
# ## See also
#
# - API: [models](../api/models.md), and [layers](../api/layers.md) with `SubspaceLayer` and `CompositeLayer`
# - [Measurements](../whitebox.md): what the layers of trained models do
# - `examples/new_white_box.py` in the repository: the same as a script
