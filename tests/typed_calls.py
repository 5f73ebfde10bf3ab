"""Calls that a type checker must accept or refuse: mypy reads this file, nobody runs it.

Signatures stand in the source, so an unknown argument is an error before anything runs.
"""

import keras_crate

keras_crate.CRATEBase(weights="imagenet", classes=10, input_shape=(32, 32, 3), patch_size=4)
keras_crate.CRATETiny(None, False, pooling="avg", compress="tssa", layer_scale=1e-5)
keras_crate.CRATEAlphaLarge(epsilon=1e-6, dtype="mixed_bfloat16", class_names=["cat", "dog"])
keras_crate.CRATEMAEBase(mask_ratio=0.5, norm_pix_loss=True, seed=1)
keras_crate.CBTSmall(patch_size=8, representatives=(4, 4))
keras_crate.CRATE(24, 2, 2, stem="convolution", compress="cbsa")
keras_crate.CRATE(24, 2, 2, rematerialise=True, weights={"cls_token": [0.0]})
keras_crate.CRATEMAE(24, 2, 2).encoder(include_top=True, classes=10)

keras_crate.CRATEBase(num_classes=10)  # type: ignore[call-arg]
keras_crate.CRATEBase(fused=True)  # type: ignore[call-arg]
keras_crate.CRATE(24, 2, 2, layer_settings={})  # type: ignore[call-arg]
keras_crate.CRATEAlphaBase(dim=768)  # type: ignore[call-arg]
keras_crate.CBTBase(ratio=4)  # type: ignore[call-arg]
keras_crate.CRATEMAEBase(classes=10)  # type: ignore[call-arg]
keras_crate.CRATE(depth=2, heads=2)  # type: ignore[call-arg]
