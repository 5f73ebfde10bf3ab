import numpy as np
import pytest
from tiny_vits import PREFIX, tiny_backbone


@pytest.fixture(scope="module", params=PREFIX)
def model(request):
    """Each of KerasHub's vision transformers that the package looks into."""
    return tiny_backbone(request.param)


@pytest.fixture(scope="module")
def images(model):
    return np.random.default_rng(0).uniform(-1, 1, (3, *model.image_shape)).astype("float32")
