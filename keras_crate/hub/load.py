"""`load`: a model with its weights, by name, address or folder."""

import os

from keras_crate import models
from keras_crate.checks import names_arguments
from keras_crate.hub.pull import pull
from keras_crate.models.load import build
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.hub_files import SCHEME
from keras_crate.weights.variants import lookup, variant_named


@names_arguments(options=[models.CRATE, models.CRATEAlpha, models.CRATEMAE])
def load(variant: str | os.PathLike, **arguments) -> WhiteBoxModel:
    """Makes the model of a variant, a repository or a folder, with its weights.

    Args:
        variant: Name of the variant, as `keras_crate.hub.list_weights()` gives it;
            `"hf://user/repository"`; or a folder with such a repository's files.
        **arguments: Arguments of a variant's constructor that replace its own,
            such as `classes=10`, or `weights=None` for initial values.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such variant, or arguments were passed for a
            repository or a folder.
        FileNotFoundError: If no program can fetch its weights.
        OSError: If the Hub cannot be reached and the weights are not in its cache.

    Example:

    ```python
    model = keras_crate.load("crate_demo_mnist")
    ```
    """
    name = os.fspath(variant)
    known = lookup(name)
    if known is None and not (name.startswith(SCHEME) or os.path.isdir(name)):
        known = variant_named(name)  # which says that there is none
    if known is not None:
        return build(known, **arguments)
    if arguments:
        raise ValueError(
            f"A saved model is loaded as it is. Received: {name} with {', '.join(arguments)}. "
            f"Pass weights={name!r} to a constructor with these arguments."
        )
    return pull(name, compile=False)
