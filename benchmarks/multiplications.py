"""Multiplications of a forward pass of one image of 224 x 224 pixels.

Products of matrices and convolutions are counted, and nothing else. A training step takes about
three times as many: the gradients with respect to tokens and to weights take as many as the
forward pass each.
"""

from keras_crate.weights.sizes import SIZES, family_of

SIDE, CLASSES = 224, 1000
RATIO = 4  # of the overcomplete dictionary
WINDOWS = 8  # a side of CBSA's representatives


def of_size(constructor: str, products: int = 1) -> int:
    """Multiplications of a published size, at its own patch.

    Args:
        constructor: A key of `SIZES`.
        products: Products of matrices in ISTA: one if it is folded, as in a fused model and in
            training with many tokens; three in the paper's equations.
    """
    dim, depth, _, patch, _ = SIZES[constructor]
    family = family_of(constructor)
    side = SIDE // patch
    tokens = side**2 + 1
    pixels = 3 * patch**2
    maps = {"CRATEAlpha": 2 + 4 * RATIO}.get(family, 2 + products)
    attention = cbsa(side, dim) if family == "CBT" else mssa(tokens, dim)
    block = maps * tokens * dim**2 + attention
    stem = convolutions(patch, dim) if family == "CBT" else side**2 * pixels * dim
    head = dim * CLASSES
    if family == "CRATEMAE":
        block += 3 * tokens * dim**2 + attention  # of the decoder: dictionary and MSSA
        head = tokens * dim * pixels
    return stem + depth * block + head


def vit(dim: int, depth: int, patch: int = 16) -> int:
    """Multiplications of a ViT whose MLP is four times as wide as its tokens."""
    patches = (SIDE // patch) ** 2
    block = 12 * (patches + 1) * dim**2 + mssa(patches + 1, dim)
    return patches * 3 * patch**2 * dim + depth * block + dim * CLASSES


def mssa(tokens: int, dim: int) -> int:
    """Attention of all tokens to all, without its linear maps."""
    return 2 * tokens**2 * dim


def cbsa(side: int, dim: int) -> int:
    """CBSA on a grid of `side` x `side` patches, without its linear maps."""
    tokens, representatives = side**2 + 1, WINDOWS**2
    pooling = WINDOWS * side * (side + WINDOWS)
    products = 3 * representatives * tokens + 2 * representatives**2
    return (pooling + products) * dim


def convolutions(patch: int, dim: int) -> int:
    """The convolutional stem: each convolution halves the side and doubles the width."""
    total, channels, side = 0, 3, SIDE
    halvings = patch.bit_length() - 1
    for i in range(halvings):
        width, side = dim // 2 ** (halvings - 1 - i), side // 2
        total += 9 * channels * width * side**2
        channels = width
    return total
