"""`python -m keras_crate` is the command `keras-crate`."""

import sys

from keras_crate_cli import main

if __name__ == "__main__":
    sys.exit(main())
