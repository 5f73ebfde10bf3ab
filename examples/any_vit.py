"""Looks inside a ViT of plain Keras layers, beside a CRATE.

    python examples/any_vit.py

Trains both on 4,000 MNIST digits, with the same width, heads and tokens. Measures R, R^c and
the share of non-zeros at every block on 256 validation digits, and draws both models in one
figure for each convention (authors.png, paper.png). Draws what the ViT's heads attend to
(heads.png). Writes all numbers (any_vit.json).

`view_of_vit` tells the package where the ViT's attention and tokens are. KerasHub's ViTBackbone,
DeiTBackbone, DINOV2Backbone and their classifiers need no such function. Pass them directly.
"""

import argparse
import json
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras import layers
from keras_crate import interpret, objective

SHAPE, PATCH, GRID, CLASSES = (28, 28, 1), 7, (4, 4), 10
WIDTH, DEPTH, HEADS = 64, 4, 4


def plain_vit() -> keras.Model:
    """A ViT of Keras' layers, with a class token."""
    images = keras.Input(SHAPE, name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = layers.Reshape((-1, WIDTH))(layers.Conv2D(WIDTH, PATCH, strides=PATCH)(x))
    x = keras_crate.layers.TokenEmbedding()(x)
    for k in range(DEPTH):
        normed = layers.LayerNormalization(name=f"norm_{k}")(x)
        attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{k}")(
            normed, normed
        )
        x = layers.Add(name=f"half_step_{k}")([x, attended])
        wide = layers.Dense(4 * WIDTH, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add(name=f"block_{k}")([x, layers.Dense(WIDTH)(wide)])
    x = layers.LayerNormalization()(x)[:, 0]
    return keras.Model(images, layers.Dense(CLASSES, "softmax")(x), name="plain_vit")


def view_of_vit(model: keras.Model) -> interpret.ModelView:
    """Tells the package where the ViT's attention and tokens are."""
    blocks = [
        interpret.BlockView(
            attention=model.get_layer(f"attention_{k}"),
            inputs=model.get_layer(f"norm_{k}").output,
            half_step=model.get_layer(f"half_step_{k}").output,
            output=model.get_layer(f"block_{k}").output,
        )
        for k in range(DEPTH)
    ]
    return interpret.ModelView(model, blocks, grid=GRID, prefix_tokens=1)


def train(model: keras.Model, digits, epochs: int, limit: int | None) -> float:
    """Trains a model and returns its accuracy on the validation digits."""
    adam = keras.optimizers.AdamW(2e-3)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = digits.train.images[:limit], digits.train.labels[:limit]
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=2)
    validation = digits.validation
    return model.evaluate(validation.images, validation.labels, verbose=0)[1]


def main() -> None:
    """Trains, measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("any-vit"))
    parser.add_argument("--epochs", type=int, default=10, help="(%(default)s)")
    parser.add_argument("--limit", type=int, help="train on so many of the images")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)

    digits = keras_crate.data.load("mnist5k")
    keras.utils.set_random_seed(arguments.seed)
    sizes = {"input_shape": SHAPE, "patch_size": PATCH, "classes": CLASSES}
    crate, vit = keras_crate.CRATE(WIDTH, DEPTH, HEADS, **sizes), plain_vit()
    record = {}
    for name, model in (("CRATE", crate), ("ViT", vit)):
        accuracy = train(model, digits, arguments.epochs, arguments.limit)
        record[name] = {"accuracy": accuracy, "parameters": model.count_params()}
        print(f"{name}: {model.count_params():,} parameters, accuracy {accuracy:.1%}")

    images = digits.validation.images[:256]
    inside = {"CRATE": crate, "ViT": view_of_vit(vit)}
    for convention in ("authors", "paper"):
        measured = {
            name: objective.measure(model, images, convention=convention)
            for name, model in inside.items()
        }
        for name, found in measured.items():
            record[name][convention] = found.to_dict()
            print(f"\n{name}\n{found}")
        figure = measured["CRATE"].plot("CRATE", {"ViT": measured["ViT"]})
        figure.savefig(folder / f"{convention}.png", dpi=150)
    interpret.head_atlas(inside["ViT"], images[:5]).savefig(folder / "heads.png", dpi=130)
    (folder / "any_vit.json").write_text(json.dumps(record, indent=1), "utf8")


if __name__ == "__main__":
    main()
