"""benchmarks/multiplications.py counts what the models compute."""

import keras
import multiplications
import pytest
from marks import TORCH

import keras_crate

pytestmark = pytest.mark.any_backend


@pytest.mark.skipif(not TORCH, reason="PyTorch counts the operations")
@pytest.mark.parametrize("name", ["CRATETiny", "CBTTiny", "CRATEMAETiny", "CRATEAlphaBase"])
def test_as_pytorch_counts(name):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = keras_crate.fuse(getattr(keras_crate, name)())
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # the fused kernel is not counted
        model(keras.ops.zeros((1, 224, 224, 3)))
    assert counter.get_total_flops() / 2 == multiplications.of_size(name)


def test_the_numbers_of_the_docs():
    base, vit = multiplications.of_size("CRATEBase"), multiplications.vit(384, 12)
    paper = multiplications.of_size("CRATEBase", products=3)
    assert [round(1e-9 * count, 1) for count in (base, paper, vit)] == [5.0, 7.8, 4.6]
    assert base / vit == pytest.approx(1.09, abs=0.005)
    assert paper / vit == pytest.approx(1.70, abs=0.005)
