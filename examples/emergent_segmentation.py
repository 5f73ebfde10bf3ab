"""Do objects' masks emerge in a CRATE that only learns to name shapes?

Trains a CRATE and a ViT of the same number of parameters in the same way to
classify shapes on textures, and scores the masks that their tokens, keys and
attention give without any further training: mean IoU on held-out shapes and on
pictures of scikit-image whose masks are known. Untrained models and methods
that look at pixels alone stand beside them.

    python examples/emergent_segmentation.py            # trains and scores
    python examples/emergent_segmentation.py --epochs 0 # scores what was saved
"""

import argparse
import json
import time
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras import ops
from keras_crate import data

SIZE, PATCH, HEAD_DIM, DEPTH = 48, 6, 32, 4


@keras.saving.register_keras_serializable(package="emergent_segmentation")
class SelfAttention(keras_crate.layers.SubspaceLayer):
    """A ViT's attention: the coordinates are the keys; queries and values have own maps."""

    def build(self, input_shape):
        super().build(input_shape)
        units = {"units": input_shape[-1]}
        self.queries = self.make_sublayer(keras.layers.Dense, "queries", input_shape, **units)
        self.values = self.make_sublayer(keras.layers.Dense, "values", input_shape, **units)

    def call(self, inputs, return_attention_scores=False, training=None):
        def split(x):
            shape = (-1, ops.shape(x)[1], self.heads, self.head_dim)
            return ops.transpose(ops.reshape(x, shape), (0, 2, 1, 3))

        queries, keys, values = (
            split(self.queries(inputs)),
            self.coordinates(inputs),
            split(self.values(inputs)),
        )
        products = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        scores = ops.softmax(products / self.head_dim**0.5, axis=-1)
        outputs = self.merge(ops.matmul(scores, values), training=training)
        return (outputs, scores) if return_attention_scores else outputs


@keras.saving.register_keras_serializable(package="emergent_segmentation")
class MLP(keras_crate.layers.CompositeLayer):
    """A ViT's second operator: expand to four times the width, GELU, contract, and a skip."""

    residual = True

    def build(self, input_shape):
        dim = input_shape[-1]
        self.expand = self.make_sublayer(
            keras.layers.Dense, "expand", input_shape, units=4 * dim, activation="gelu"
        )
        wide = (*input_shape[:-1], 4 * dim)
        self.contract = self.make_sublayer(keras.layers.Dense, "contract", wide, units=dim)
        self.built = True

    def call(self, inputs):
        return self.contract(self.expand(inputs))


def crate(dim: int):
    """A CRATE of 3 d^2 parameters a block."""
    return _model(dim, "crate")


def vit(dim: int):
    """A ViT in the same graph: 12 d^2 parameters a block, so half as wide."""
    return _model(dim // 2, "vit", compress=SelfAttention, sparsify=MLP)


def _model(dim, name, **operators):
    keras.utils.set_random_seed(0)
    return keras_crate.CRATE(
        dim, DEPTH, dim // HEAD_DIM, input_shape=(SIZE, SIZE, 3), patch_size=PATCH,
        classes=len(data.SHAPES), class_names=data.SHAPES, mean=[0.5] * 3, std=[0.25] * 3,
        data_format="channels_last", name=name, **operators,
    )  # fmt: skip


def train(model, images: int, epochs: int) -> dict:
    """Trains on shapes; returns the record."""
    x, y, _ = data.shapes_on_textures(images, SIZE, seed=1)
    test_x, test_y, _ = data.shapes_on_textures(1000, SIZE, seed=2)
    steps = -(-len(x) // 64)
    warmup = min(2, epochs - 1) * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * steps - warmup, warmup_target=2e-3, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.05),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    start = time.monotonic()
    history = model.fit(x, y, batch_size=64, epochs=epochs, verbose=2).history
    _, accuracy = model.evaluate(test_x, test_y, verbose=0)
    return {
        "parameters": model.count_params(),
        "accuracy": accuracy,
        "seconds": round(time.monotonic() - start, 1),
        "history": history,
    }


def main():
    """Trains, scores, and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="emergent-segmentation", type=Path)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--dim", type=int, default=128, help="width of the CRATE (%(default)s)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    record = {}
    for make in (crate, vit):
        model = make(arguments.dim)
        record[model.name] = train(model, arguments.images, arguments.epochs)
        model.save(arguments.output / f"{model.name}.keras")
        (arguments.output / "training.json").write_text(json.dumps(record, indent=1))
        print(model.name, {k: v for k, v in record[model.name].items() if k != "history"})


if __name__ == "__main__":
    main()
