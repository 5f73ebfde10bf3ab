"""Do masks of objects emerge in a CRATE that is only trained to classify shapes?

Trains a CRATE and a ViT with the same number of parameters in the same way to
classify shapes on textures. Then scores the masks that their tokens, keys and
attention give without further training: mean IoU on test shapes and on pictures
of scikit-image whose masks are known. Untrained models and methods that use only
the pixels are scored for comparison.

    python examples/emergent_segmentation.py            # trains and scores
    python examples/emergent_segmentation.py --epochs 0 # scores what was saved
"""

import argparse
import json
import time
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate import interpret
from keras_crate.figure import new_figure
from plain_models import MLP, SelfAttention
from shapes_on_textures import SHAPES, shapes_on_textures

SIZE, PATCH, HEAD_DIM, DEPTH = 48, 6, 32, 4


def crate(dim: int, seed: int):
    """A CRATE with 3 d^2 parameters in a block."""
    return _model(dim, seed, "crate")


def vit(dim: int, seed: int):
    """A ViT in the same graph: 12 d^2 parameters in a block, so half as wide."""
    return _model(dim // 2, seed, "vit", compress=SelfAttention, sparsify=MLP)


def _model(dim, seed, name, **operators):
    keras.utils.set_random_seed(seed)
    return keras_crate.CRATE(
        dim, DEPTH, dim // HEAD_DIM, input_shape=(SIZE, SIZE, 3), patch_size=PATCH,
        classes=len(SHAPES), class_names=SHAPES, mean=[0.5] * 3, std=[0.25] * 3,
        data_format="channels_last", name=name, **operators,
    )  # fmt: skip


def train(model, images: int, epochs: int) -> dict:
    """Trains on shapes; returns the size, accuracy, time and history."""
    x, y, _ = shapes_on_textures(images, SIZE, seed=1)
    test_x, test_y, _ = shapes_on_textures(1000, SIZE, seed=2)
    steps = -(-len(x) // 64)
    warmup = min(2, epochs - 1) * steps
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * steps - warmup, warmup_target=2e-3, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.05),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    start = time.monotonic()
    history = model.fit(x, y, batch_size=64, epochs=epochs, verbose=2).history
    _, accuracy = model.evaluate(test_x, test_y, verbose=0)
    return {
        "parameters": model.count_params(),
        "accuracy": accuracy,
        "seconds": round(time.monotonic() - start, 1),
        "history": history,
    }


def horses() -> tuple[np.ndarray, np.ndarray]:
    """The outline of scikit-image's horse, filled with one texture on another."""
    import skimage

    size = (SIZE, SIZE)
    textures = [getattr(skimage.data, name)() for name in ("brick", "grass", "gravel")]
    outline = np.pad(~skimage.data.horse(), ((36, 36), (0, 0)))
    mask = skimage.transform.resize(outline, size) > 0.5
    images, masks = [], []
    for figure in textures:
        for ground in textures:
            for shift in (0, 256):
                if figure is not ground:
                    inside, outside = (
                        skimage.transform.resize(
                            texture[shift : shift + 192, shift : shift + 192], size
                        )
                        for texture in (figure, ground)
                    )
                    images.append(np.where(mask, inside, outside))
                    masks.append(mask)
    return _in_colour(images), np.stack(masks)


def coins() -> tuple[np.ndarray, np.ndarray]:
    """Each coin on scikit-image's photograph.

    The masks are the bright regions by Otsu's threshold, with holes filled. They
    look right, but were not drawn by hand.
    """
    import skimage
    from scipy import ndimage

    size = (SIZE, SIZE)
    photograph = skimage.data.coins()
    bright = ndimage.binary_fill_holes(photograph > skimage.filters.threshold_otsu(photograph))
    regions, _ = ndimage.label(ndimage.binary_opening(bright, iterations=2))
    images, masks = [], []
    for number, extent in enumerate(ndimage.find_objects(regions), start=1):
        if not all(25 < side.stop - side.start < 90 for side in extent):
            continue  # specks, and the bright corner of the photograph
        window = tuple(slice(max(side.start - 12, 0), side.stop + 12) for side in extent)
        images.append(skimage.transform.resize(photograph[window], size))
        mask = (regions[window] == number).astype(float)
        masks.append(skimage.transform.resize(mask, size) > 0.5)
    return _in_colour(images), np.stack(masks)


def _in_colour(grey: list) -> np.ndarray:
    return np.repeat(255 * np.stack(grey)[..., None], 3, axis=-1).astype("float32")


def masks_by_method(model, images) -> tuple[dict, dict]:
    """The masks that each method finds, by block or head: a boolean for each patch.

    The second dictionary holds the attention itself, by block and head.
    """
    at_once = {"batch_size": len(images)}
    methods, attention = {name: {} for name in METHODS}, {}
    everywhere = interpret.attention_maps(model, images, range(DEPTH), **at_once)
    maps = interpret.intermediates(model, images, what="map", **at_once)
    keys = interpret.intermediates(model, images, what="keys", **at_once)
    for layer in range(DEPTH):
        block = f"block {layer}"
        for head in range(everywhere[layer].shape[1]):
            place = f"{block}, head {head}"
            attention[place] = everywhere[layer][:, head]
            methods["attention of a head"][place] = most_attended(attention[place])
        methods["cut of keys"][block] = interpret.segment_features(keys[layer]) > 0
        methods["cut of tokens"][block] = interpret.segment_features(maps[layer]) > 0
        methods["first component"][block] = interpret.pca_features(maps[layer]).foreground
    return methods, attention


METHODS = ("attention of a head", "cut of keys", "cut of tokens", "first component")


def most_attended(maps: np.ndarray) -> np.ndarray:
    """The fewest patches that hold 60 % of the class token's attention to patches."""
    flat = maps.reshape(len(maps), -1)
    order = np.sort(flat, axis=1)[:, ::-1]
    short = np.cumsum(order, axis=1) < 0.6 * flat.sum(axis=1, keepdims=True)
    least = order[np.arange(len(flat)), short.sum(axis=1)]
    return maps >= least[:, None, None]


def iou(found: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Intersection over union of each image, in pixels."""
    factors = (1, masks.shape[1] // found.shape[1], masks.shape[2] // found.shape[2])
    found = np.kron(found, np.ones(factors, bool)).astype(bool)
    union = (found | masks).sum(axis=(1, 2))
    return (found & masks).sum(axis=(1, 2)) / np.maximum(union, 1)


def on_object(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each image's attention to patches that falls on the object."""
    area = _by_patch(masks[..., None]).mean(axis=(2, 4))[..., 0]
    return (maps * area).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))


def score(models: dict, test_sets: dict) -> tuple[dict, dict, dict]:
    """Mean IoU by method, model and set of images; attention on the object; the first masks.

    The block or head is chosen for each model and method on other shapes than
    those that are scored. The CRATE has 16 heads to choose from, the ViT 8.
    """
    choosing, _, true = shapes_on_textures(200, SIZE, seed=4)
    every = np.concatenate([choosing, *(images for images, _ in test_sets.values())])
    starts = np.cumsum([len(choosing), *(len(images) for images, _ in test_sets.values())])
    table, drawn = {}, {}
    shares = {"area of the object": {"chosen": "-"}}
    for set_name, (_, masks) in test_sets.items():
        area = masks.mean(axis=(1, 2))
        shares["area of the object"][set_name] = _mean(area)
    for name, model in models.items():
        methods, attention = masks_by_method(model, every)
        parts = {place: np.split(maps, starts[:-1]) for place, maps in attention.items()}
        chosen = max(parts, key=lambda place: on_object(parts[place][0], true).mean())
        row = shares.setdefault(f"attention on the object, {name}", {"chosen": chosen})
        for (set_name, (_, masks)), maps in zip(test_sets.items(), parts[chosen][1:], strict=True):
            row[set_name] = _mean(on_object(maps, masks))
        for method, by_place in methods.items():
            parts = {place: np.split(found, starts[:-1]) for place, found in by_place.items()}
            chosen = max(parts, key=lambda place: iou(parts[place][0], true).mean())
            row = table.setdefault(f"{method}, {name}", {"chosen": chosen})
            for (set_name, (_, masks)), found in zip(
                test_sets.items(), parts[chosen][1:], strict=True
            ):
                row[set_name] = _mean(iou(found, masks))
            # Scored with another image's mask: what position and size alone reach.
            shuffled = np.roll(test_sets["shapes"][1], 1, axis=0)
            row["shuffled"] = _mean(iou(parts[chosen][1], shuffled))
            drawn[method, name] = parts[chosen][1]
    table = {name: row for method in METHODS for name, row in table.items() if method in name}
    for set_name, (images, masks) in test_sets.items():
        colours = _by_patch(images).mean(axis=(2, 4), dtype="float64")
        colours -= colours.mean(axis=(1, 2), keepdims=True)
        centre = np.zeros_like(masks)
        centre[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = True
        best = _by_patch(masks[..., None]).mean(axis=(2, 4))[..., 0] >= 0.5
        for name, found in (
            ("no model: cut of the patches' mean colours", interpret.segment_features(colours) > 0),
            ("no model: the square in the middle", centre),
            ("no model: patches half or more in the mask", best),
        ):
            row = table.setdefault(name, {"chosen": "-"})
            row[set_name] = _mean(iou(found, masks))
            if set_name == "shapes":
                row["shuffled"] = _mean(iou(found, np.roll(masks, 1, axis=0)))
    return table, shares, drawn


def _by_patch(images):
    grid = SIZE // PATCH
    return images.reshape(len(images), grid, PATCH, grid, PATCH, images.shape[-1])


def _mean(values) -> list[float]:
    """The mean over images and its standard error."""
    return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]


def draw(images, masks, drawn: dict, count: int = 8):
    """Draws the first images, their masks, and the masks that the trained models find."""
    found = [
        drawn[method, name]
        for method in ("cut of keys", "attention of a head")
        for name in ("crate", "vit")
    ]
    titles = ["image", "true mask", "CRATE, cut", "ViT, cut", "CRATE, head", "ViT, head"]
    figure = new_figure(1.2 * count, 1.25 * len(titles))
    axes = figure.subplots(len(titles), count, squeeze=False)
    for row, title, of_row in zip(axes, titles, [images, masks, *found], strict=True):
        row[0].set_ylabel(title)
        for ax, picture in zip(row, of_row, strict=False):
            ax.imshow(picture, cmap="gray")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return figure


def main():
    """Trains, scores, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="emergent-segmentation", type=Path)
    parser.add_argument("--epochs", type=int, default=24, help="0: score saved models")
    parser.add_argument("--images", type=int, default=12000, help="training images (%(default)s)")
    parser.add_argument("--dim", type=int, default=128, help="width of the CRATE (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the training (%(default)s)"
    )
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    models, record = {}, {}
    for make in (crate, vit):
        untrained, model = (make(arguments.dim, arguments.seed) for _ in range(2))
        file = folder / f"{model.name}.keras"
        models[f"{model.name}, untrained"] = untrained
        if arguments.epochs:
            record[model.name] = train(model, arguments.images, arguments.epochs)
            model.save(file)
            (folder / "training.json").write_text(json.dumps(record, indent=1))
        models[model.name] = keras.saving.load_model(file)
    record = json.loads((folder / "training.json").read_text())
    for name, of_model in record.items():
        print(
            f"{name}: {of_model['parameters']:,} parameters, {of_model['accuracy']:.1%} of 1,000 "
            f"test shapes classified correctly, {of_model['seconds']:.0f} s"
        )

    images, _, masks = shapes_on_textures(300, SIZE, seed=3)
    test_sets = {"shapes": (images, masks), "horses": horses(), "coins": coins()}
    table, shares, drawn = score(models, test_sets)
    counts = ", ".join(f"{len(images)} {name}" for name, (images, _) in test_sets.items())
    for title, rows in (("mean IoU", table), ("mean share of attention", shares)):
        print(f"\n{title} (standard error over images) of {counts}")
        columns = [*test_sets, "shuffled"] if rows is table else list(test_sets)
        print(f"{'':44}{'chosen':>16}" + "".join(f"{x:>16}" for x in columns))
        for name, row in rows.items():
            cells = "".join(f"{row[x][0]:>9.3f} ({row[x][1]:.3f})" for x in columns)
            print(f"{name:44}{row['chosen']:>16}{cells}")
    found = {"iou": table, "attention_on_object": shares}
    (folder / "segmentation.json").write_text(json.dumps(found, indent=1))
    draw(images, masks, drawn).savefig(folder / "segmentation.png", dpi=150)


if __name__ == "__main__":
    main()
