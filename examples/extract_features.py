"""Extracts features of images: all tokens, pooled tokens, and the output of any layer.

python examples/extract_features.py crate-demo/model.keras features.npz --layer block_1_ista
"""

import argparse

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="a .keras file, such as the demo's")
parser.add_argument("output", help="file for the features (.npz)")
parser.add_argument("--layer", default="block_1_ista", help="name of a layer (%(default)s)")
arguments = parser.parse_args()

model = keras.saving.load_model(arguments.model)
digits = keras_crate.data.load("mnist5k").validation
images, labels = digits.images, digits.labels

# The same model without the head: one vector for each image. All tokens are what it pools.
pooled = model.reset_classifier(0)
tokens = keras.Model(model.input, model.get_layer("pooling").input)

# The output of any layer of a functional model can be computed by another model.
inside = keras.Model(model.input, model.get_layer(arguments.layer).output)

features = {
    "pooled": pooled.predict(images, verbose=0),
    "tokens": tokens.predict(images, verbose=0),
    arguments.layer: inside.predict(images, verbose=0),
}
np.savez_compressed(arguments.output, labels=labels, **features)
for name, values in features.items():
    print(f"{name}: shape {values.shape}, {(values == 0).mean():.0%} exact zeros")
