"""Compression and sparsity at every layer while a CRATE learns, as in the paper's figure 3.

    python examples/layerwise_objective.py

Trains the model of `keras-crate demo --from-scratch` on 4,000 MNIST digits and measures
256 validation digits every few epochs: R^c and the share of non-zeros at each block, in
the authors' convention and in the paper's. Writes the curves (layers-authors.png,
layers-paper.png), the curves as animations (.gif) and all numbers (layers.json).
Also draws what the trained model's heads attend to and what its blocks compute,
for five digits at twice their size (heads.png, blocks.png).
"""

import argparse
import json
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras_crate import interpret
from keras_crate.objective import LayerwiseObjective
from keras_crate.training import DemoRecipe, run_demo_from_scratch

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", default="layerwise-objective", type=Path)
parser.add_argument("--epochs", type=int, default=DemoRecipe.epochs, help="(%(default)s)")
parser.add_argument(
    "--every", type=int, default=5, help="epochs between measurements (%(default)s)"
)
parser.add_argument("--images", type=int, help="training images; by default all 4,000")
parser.add_argument("--seed", type=int, default=0, help="random seed (%(default)s)")
arguments = parser.parse_args()

digits = keras_crate.data.load("mnist5k")
validation = digits.validation.images[:256]
conventions = {
    name: LayerwiseObjective(validation, every=arguments.every, convention=name)
    for name in ("authors", "paper")
}
recipe = DemoRecipe(epochs=arguments.epochs, train_images=arguments.images)
folder = arguments.output
metrics = run_demo_from_scratch(
    folder, recipe, digits, arguments.seed, callbacks=list(conventions.values())
)

for name, layerwise in conventions.items():
    times = list(layerwise.measurements)
    untrained, trained = (layerwise.measurements[time] for time in (times[0], times[-1]))
    middle = layerwise.measurements[times[len(times) // 2]]
    figure = untrained.plot(
        "untrained", {f"epoch {times[len(times) // 2]}": middle, f"epoch {times[-1]}": trained}
    )
    figure.savefig(folder / f"layers-{name}.png", dpi=150)
    layerwise.animate(folder / f"layers-{name}.gif")
    print(f"\n{name}' convention" if name == "authors" else f"\n{name}'s convention")
    for label, measured in (("untrained", untrained), (f"epoch {times[-1]}", trained)):
        rates = " ".join(f"{rate:8.2f}" for rate in measured.coding_rate_mean)
        nonzeros = " ".join(f"{1 - zeros:8.3f}" for zeros in measured.sparsity_mean)
        print(f"{label:>10}: R^c {rates}   non-zeros {nonzeros}")
        if measured.rate_reduction_mean:
            gains = " ".join(f"{gain:8.2f}" for gain in measured.rate_reduction_mean)
            print(f"{'':>10}  R - R^c {gains}")

record = {
    name: {time: measured.to_dict() for time, measured in layerwise.measurements.items()}
    for name, layerwise in conventions.items()
}
record["accuracy"] = metrics["accuracy"]
(folder / "layers.json").write_text(json.dumps(record, indent=1), encoding="utf8")

model = keras.saving.load_model(folder / "model.keras")
five = keras.ops.image.resize(validation[:5].astype("float32"), (56, 56))
five = keras.ops.convert_to_numpy(five)
interpret.head_atlas(model, five, layer=1).savefig(folder / "heads.png", dpi=130)
maps = interpret.intermediates(model, five, what="map")
interpret.plot_intermediates(five, maps).savefig(folder / "blocks.png", dpi=130)
