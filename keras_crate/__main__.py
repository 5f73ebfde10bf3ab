"""`python -m keras_crate` is the command `keras-crate`."""

import sys

from keras_crate_cli import program

if __name__ == "__main__":
    sys.exit(program())
