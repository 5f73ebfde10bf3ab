"""The published sizes, in numbers."""

# Width, blocks, heads; parameters at patch 16, 224x224x3, 1,000 classes; top-1
# on ImageNet-1K in per cent, as reported by the authors (not measured here).
SIZES = {
    "CRATETiny": (384, 12, 6, 6_090_856, 66.7),
    "CRATESmall": (576, 12, 12, 13_116_328, 69.2),
    "CRATEBase": (768, 12, 12, 22_796_008, 70.8),
    "CRATELarge": (1024, 24, 16, 77_641_192, 71.3),
}
