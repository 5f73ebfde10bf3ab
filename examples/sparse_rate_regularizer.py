"""Trains with and without the sparse rate reduction in the loss, from the same initial weights.

    python examples/sparse_rate_regularizer.py --weights 0 1e-4 1e-3

Prints, for each weight, the accuracy on validation digits and the terms of the
objective, as means over blocks in the paper's convention. They show what the
regulariser does to the terms and to the accuracy. (Under JAX on a CPU, start it with
XLA_FLAGS=--xla_cpu_enable_concurrency_optimized_scheduler=false: see
`SparseRateReduction`.)
"""

import argparse

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate.objective import SparseRateReduction, measure

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--weights", type=float, nargs="+", default=[0, 1e-4, 1e-3, 1e-2])
parser.add_argument("--penalty", type=float, default=0.1, help="lambda (%(default)s)")
parser.add_argument("--epochs", type=int, default=15, help="(%(default)s)")
parser.add_argument("--seeds", type=int, default=1, help="runs of each weight (%(default)s)")
arguments = parser.parse_args()

digits = keras_crate.data.load("mnist5k")
x, y = digits.train.images, digits.train.labels
val_x, val_y = digits.validation.images, digits.validation.labels
print(f"{'weight':>8}{'accuracy':>10}{'R - R^c':>10}{'R^c':>10}{'non-zeros':>11}")
for weight in arguments.weights:
    rows = []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        model = keras_crate.CRATE(
            64, 3, 4, input_shape=x.shape[1:], patch_size=7, classes=10, pooling="avg"
        )
        SparseRateReduction(weight, arguments.penalty).attach(model)
        model.compile(
            keras.optimizers.AdamW(2e-3, weight_decay=0.01),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        model.fit(x, y, batch_size=64, epochs=arguments.epochs, verbose=0)
        measured = measure(model, val_x[:256], convention="paper", penalty=arguments.penalty)
        accuracy = float((model.predict(val_x, verbose=0).argmax(axis=1) == val_y).mean())
        rows.append(
            [
                accuracy,
                np.mean(measured.rate_reduction_mean),
                np.mean(measured.coding_rate_mean),
                1 - np.mean(measured.sparsity_mean),
            ]
        )
    accuracy, gain, rate, nonzeros = np.mean(rows, axis=0)
    print(f"{weight:>8g}{accuracy:>10.1%}{gain:>10.1f}{rate:>10.1f}{nonzeros:>11.3f}", flush=True)
