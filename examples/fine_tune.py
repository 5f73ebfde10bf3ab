"""Fine-tunes a saved CRATE for other classes: digits, even or odd.

    python examples/fine_tune.py crate-demo/model.keras even-odd.keras

Trains the new head alone first, then all layers at a smaller learning rate.
"""

import argparse

import keras_crate  # before keras, for which it picks an installed backend
import keras

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="a .keras file, such as the demo's")
parser.add_argument("output", help="file for the fine-tuned model (.keras)")
parser.add_argument("--epochs", type=int, default=5, help="epochs of each stage (%(default)s)")
arguments = parser.parse_args()

# The same model with two classes; all weights but the head's are those of the file.
model = keras.saving.load_model(arguments.model).reset_classifier(2, ["even", "odd"])

digits = keras_crate.data.load("digits")  # 8x8 pixels, from scikit-learn
size = model.input_shape[1:3]
(x, y), (val_x, val_y) = (
    (keras.ops.image.resize(part.images, size), part.labels % 2)
    for part in (digits.train, digits.validation)
)

for stage, learning_rate in (("head", 1e-2), ("all layers", 5e-4)):
    model.freeze_backbone() if stage == "head" else model.unfreeze()
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, epochs=arguments.epochs, verbose=0)
    accuracy = model.evaluate(val_x, val_y, verbose=0, return_dict=True)["accuracy"]
    print(f"{stage}: {accuracy:.1%} of {len(val_y)} validation digits")

model.save(arguments.output)
print("wrote", arguments.output)
