import gc
import os

import keras
import numpy as np
import pytest
from hub_client import MODELS, HubClient
from hub_server import HubServer

import keras_crate  # noqa: F401  (chooses an installed backend)

# Programs that tests start reach this machine only, as the tests do (`--allow-hosts`).
NOWHERE = "http://127.0.0.1:9"
os.environ |= {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1,localhost,::1"}


@pytest.fixture(autouse=True)
def _fresh_state():
    """Every test starts from the same chance and the default policies.

    Keras collects garbage at each layer that is quantised: seconds, with the objects of all tests
    before. Those are no longer looked at.
    """
    gc.collect()
    gc.freeze()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def server():
    """A local Hub."""
    with HubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_faults(request):
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").faults.clear()


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    """A process that is logged in to the local Hub as `writer`."""
    with HubClient(server, tmp_path_factory.mktemp("writer")) as client:
        client(MODELS)
        yield client
