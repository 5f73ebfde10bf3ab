"""`load`: a model with its weights, by name, address or folder."""

import os

from keras_crate import models
from keras_crate.checks import names_arguments
from keras_crate.hub.open_model import open_model
from keras_crate.models.load import build
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.hub_files import SCHEME
from keras_crate.weights.variants import lookup, variant_named


@names_arguments(options=[models.CRATE, models.CRATEAlpha, models.CRATEMAE])
def load(variant: str | os.PathLike, **arguments) -> WhiteBoxModel:
    """Makes the model of a variant, a repository, a folder or a file, with its weights.

    Args:
        variant: Name of the variant, as `keras_crate.hub.list_weights()` gives it;
            `"hf://user/repository"`; a folder with such a repository's files; or a
            `.keras` file.
        **arguments: Arguments of a variant's constructor that replace its own,
            such as `classes=10`, or `weights=None` for initial values.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such variant, arguments were passed for a
            repository, a folder or a file, or the file has another format.
        FileNotFoundError: If no program can fetch its weights.
        OSError: If the Hub cannot be reached and the weights are not in its cache.

    Example:

    ```python
    model = keras_crate.load("crate_demo_mnist")
    ```
    """
    name = os.fspath(variant)
    known = lookup(name)
    if known is None and not (name.startswith(SCHEME) or os.path.exists(name)):
        known = variant_named(name)  # which says that there is none
    if known is not None:
        return build(known, **arguments)
    is_of_weights = os.path.isfile(name) and not name.endswith(".keras")
    if arguments or is_of_weights:
        given = f" with {', '.join(arguments)}" if arguments else ""
        raise ValueError(
            f"A repository, folder or .keras file is loaded as it is. Received: {name}{given}.\n"
            f"For other files and arguments, pass weights={name!r} to a constructor."
        )
    return open_model(name)[0]
