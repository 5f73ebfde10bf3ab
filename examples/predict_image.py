"""Prints the likeliest classes of image files.

python examples/predict_image.py crate-demo/model.keras digit.png
"""

import argparse

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="a .keras file whose model has class names, such as the demo's")
parser.add_argument("images", nargs="+", help="image files of any size")
parser.add_argument("--top", type=int, default=3, help="number of classes to print (%(default)s)")
arguments = parser.parse_args()

model = keras.saving.load_model(arguments.model)
height, width, channels = model.input_shape[1:]
for path in arguments.images:
    image = keras.utils.load_img(
        path,
        color_mode="grayscale" if channels == 1 else "rgb",
        target_size=(height, width),
        interpolation="bilinear",
    )
    pixels = keras.utils.img_to_array(image)[np.newaxis]  # a batch of one, in [0, 255]
    (found,) = keras_crate.decode_predictions(
        model.predict(pixels, verbose=0), model, top=arguments.top
    )
    print(path + ":", ", ".join(f"{name} {probability:.1%}" for name, probability in found))
