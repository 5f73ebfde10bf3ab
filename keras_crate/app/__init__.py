"""The page that looks inside models, and Spaces of the Hub that show it."""

from keras_crate.app.server import serve
from keras_crate.app.space import push_space

__all__ = ["push_space", "serve"]


def __dir__():
    return sorted(__all__)
