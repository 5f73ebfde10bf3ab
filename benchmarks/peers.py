"""CRATE-B beside KerasHub's ViT-S and eager PyTorch: the same as `keras-crate bench`.

    KERAS_BACKEND=jax python benchmarks/peers.py --output benchmarks/results

Needs `keras-hub`, and PyTorch for the eager comparison. On a machine with a GPU:

    KERAS_BACKEND=jax python benchmarks/peers.py --dtype mixed_bfloat16 --batches 1 32 256
"""

import sys

from keras_crate.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
