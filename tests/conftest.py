import keras
import numpy as np
import pytest

import keras_crate  # noqa: F401  (chooses an installed backend)


@pytest.fixture(autouse=True)
def _fresh_state():
    """Every test starts from the same chance and the default policies."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
