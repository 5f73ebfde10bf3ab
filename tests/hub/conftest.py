import pytest
from hub_client import MODELS, HubClient
from hub_server import HubServer


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_faults(request):
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").faults.clear()


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    """A process that is logged in as `writer`."""
    with HubClient(server, tmp_path_factory.mktemp("writer")) as client:
        client(MODELS)
        yield client
