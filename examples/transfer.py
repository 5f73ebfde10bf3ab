"""Does pre-training on MNIST help a small CRATE on digits of another source?

Pre-trains a CRATE and a ViT with about as many parameters on 4,000 MNIST images. Both keep their
head and are fine-tuned on scikit-learn's digits (8x8 pixels). For comparison, the same models are
trained on those digits alone. All use the same recipe, for three seeds. Linear classifiers are also
trained on the features before the head, with all of the new digits and with 1, 5 and 10 of each
class.

    python examples/transfer.py

Writes transfer.md and transfer.json. A run that was interrupted continues where it stopped.
"""

import argparse
import json
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras import layers
from keras_crate import data
from keras_crate.training import finetune, load_recipe, pretrain
from sklearn.linear_model import LogisticRegression

SHAPE, PATCH, DEPTH, HEADS, WIDTH = (28, 28, 1), 7, 4, 4, 96
SHOTS = (1, 5, 10)


@keras.saving.register_keras_serializable(package="transfer")
class Positions(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=input_shape[1:], initializer="random_normal")

    def call(self, tokens):
        return tokens + self.table


def crate() -> keras.Model:
    """A CRATE: 3 d^2 parameters in a block."""
    return keras_crate.CRATE(
        WIDTH, DEPTH, HEADS, input_shape=SHAPE, patch_size=PATCH, classes=10, pooling="avg",
        name="crate",
    )  # fmt: skip


def vit() -> keras.Model:
    """A ViT: 12 d^2 parameters in a block, so half as wide."""
    dim, tokens = WIDTH // 2, (SHAPE[0] // PATCH) * (SHAPE[1] // PATCH)
    images = keras.Input(SHAPE, name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = layers.Conv2D(dim, PATCH, PATCH, name="patches")(x)
    x = layers.Reshape((tokens, dim))(x)
    x = Positions(name="positions")(x)
    for k in range(DEPTH):
        y = layers.LayerNormalization(epsilon=1e-6, name=f"block_{k}_norm_1")(x)
        attention = layers.MultiHeadAttention(HEADS, dim // HEADS, name=f"block_{k}_attention")
        x = x + attention(y, y)
        y = layers.LayerNormalization(epsilon=1e-6, name=f"block_{k}_norm_2")(x)
        y = layers.Dense(4 * dim, "gelu", name=f"block_{k}_mlp_1")(y)
        x = x + layers.Dense(dim, name=f"block_{k}_mlp_2")(y)
    x = layers.GlobalAveragePooling1D(name="pooling")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="head_norm")(x)
    return keras.Model(images, layers.Dense(10, "softmax", name="head")(x), name="vit")


def one_seed(
    make, seed: int, folder: Path, recipes: tuple, draws: int, quiet: dict
) -> dict[str, float]:
    """All accuracies of a model for a seed, in per cent of the validation digits."""
    first, then = recipes

    def untrained():
        keras.utils.set_random_seed(seed)
        return make()

    record = folder / "pretrained" / "metrics.json"
    if not record.exists():
        pretrain(untrained(), "mnist5k", folder / "pretrained", recipe=first, seed=seed, **quiet)
    trained = keras.saving.load_model(folder / "pretrained" / "model.keras", compile=False)
    found = {"mnist": 100 * json.loads(record.read_text())["val_accuracy"]}
    probes = {
        "pre-trained": linear(trained, seed, draws),
        "untrained": linear(untrained(), seed, draws),
    }
    for name, model in (("fine-tuned", trained), ("from scratch", untrained())):
        record = folder / name / "metrics.json"
        if not record.exists():
            finetune(model, "digits", folder / name, recipe=then, seed=seed, **quiet)
        found[name] = 100 * json.loads(record.read_text())["val_accuracy"]
    return found | {
        f"{how}, {name}": value for name, probe in probes.items() for how, value in probe.items()
    }


def linear(model: keras.Model, seed: int, draws: int) -> dict[str, float]:
    """Accuracy of linear classifiers on the features before a model's head."""
    digits = data.load("digits")
    features = keras.Model(model.input, model.get_layer("head").input)
    (x, y), (test_x, test_y) = (
        (features.predict(keras.ops.image.resize(part.images, SHAPE[:2]), verbose=0), part.labels)
        for part in (digits.train, digits.validation)
    )
    scale = x.std(axis=0) + 1e-6
    x, test_x = x / scale, test_x / scale

    def accuracy(chosen):
        classifier = LogisticRegression(max_iter=2000).fit(x[chosen], y[chosen])
        return 100 * classifier.score(test_x, test_y)

    rng = np.random.default_rng(seed)
    found = {"linear probe": accuracy(np.arange(len(y)))}
    for shots in SHOTS:
        chosen = [
            np.concatenate([rng.choice(np.flatnonzero(y == c), shots, False) for c in range(10)])
            for _ in range(draws)
        ]
        found[f"{shots} of each class"] = float(np.mean([accuracy(draw) for draw in chosen]))
    return found


def table(results: dict) -> str:
    """Mean and spread (standard deviation over seeds) of every accuracy, as Markdown."""
    models = list(results)
    lines = [f"| | {' | '.join(models)} |", "| --- |" + " --- |" * len(models)]
    for row in results[models[0]][0]:
        cells = []
        for model in models:
            values = [seed[row] for seed in results[model]]
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{np.mean(values):.1f} ± {spread:.1f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Trains, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-transfer"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60, help="epochs on MNIST (%(default)s)")
    parser.add_argument("--then", type=int, default=20, help="epochs on digits (%(default)s)")
    parser.add_argument(
        "--draws", type=int, default=10, help="random choices of the few digits (%(default)s)"
    )
    parser.add_argument("--pipeline", default="pydataset")
    arguments = parser.parse_args()

    first = load_recipe("digits-small", epochs=arguments.epochs, learning_rate=2e-3)
    then = load_recipe("digits-small", epochs=arguments.then)
    quiet = {"verbose": 0, "pipeline": arguments.pipeline}
    results = {}
    for make in (crate, vit):
        name = f"{make.__name__.upper()}, {make().count_params():,} parameters"
        results[name] = []
        for seed in range(arguments.seeds):
            folder = arguments.output / make.__name__ / str(seed)
            results[name].append(
                one_seed(make, seed, folder, (first, then), arguments.draws, quiet)
            )
            print(name, "seed", seed, {k: round(v, 1) for k, v in results[name][-1].items()})
    text = table(results)
    print(f"\nAccuracy in per cent, mean ± spread of {arguments.seeds} seeds\n\n{text}")
    (arguments.output / "transfer.md").write_text(text + "\n", "utf8")
    (arguments.output / "transfer.json").write_text(json.dumps(results, indent=1), "utf8")


if __name__ == "__main__":
    main()
