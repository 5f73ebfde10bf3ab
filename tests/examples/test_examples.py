"""Every script under examples/, and the README's lines, are run."""

import contextlib
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from marks import compiles_long

from keras_crate import data
from keras_crate.evaluation import Evaluation
from keras_crate.training import DemoRecipe, run_demo_from_scratch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with crate-demo/model.keras, a small model of digits, and kept.keras, the same."""
    folder = tmp_path_factory.mktemp("examples")
    recipe = DemoRecipe(depth=2, epochs=2, warmup_epochs=1, train_images=1000)
    run_demo_from_scratch(folder / "crate-demo", recipe, say=lambda line: None)
    model = keras.saving.load_model(folder / "crate-demo/model.keras")
    Evaluation.for_model(model).keep_in(model)  # as in the model of a run
    model.save(folder / "kept.keras")
    return folder


def _run(folder, script, *arguments):
    """What a script prints. It runs in this process: another would import Keras for longer."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        patch.syspath_prepend(str(script.parent))
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
    return printed.getvalue()


@compiles_long
def test_fine_tune(folder):
    out = _run(
        folder, ROOT / "examples/fine_tune.py", "kept.keras", "even-odd.keras",
        "--epochs", "2",
    )  # fmt: skip
    head, everything = (float(x) for x in re.findall(r": ([\d.]+)% of 360", out))
    # Chance is 50 %. The model has learnt next to nothing, so its features may stay near that.
    assert head > 45 and everything > 70
    assert (folder / "even-odd.keras").exists()


@compiles_long
def test_extract_features(folder):
    _run(folder, ROOT / "examples/extract_features.py", "kept.keras", "features.npz")
    with np.load(folder / "features.npz") as features:
        assert features["pooled"].shape == (1000, 128)
        assert features["tokens"].shape == (1000, 17, 128)
        assert features["block_1_ista"].shape == (1000, 17, 128)
        np.testing.assert_allclose(features["tokens"][:, 0], features["pooled"], atol=1e-5)


@compiles_long
def test_predict_image(folder):
    from PIL import Image

    images = data.load("mnist5k").validation.images
    for k in (0, 1):
        Image.fromarray(images[k, :, :, 0]).resize((50, 60)).save(folder / f"{k}.png")
    out = _run(
        folder, ROOT / "examples/predict_image.py", "crate-demo/model.keras", "0.png", "1.png"
    )
    lines = out.strip().splitlines()
    assert len(lines) == 2 and lines[1].startswith("1.png: ")
    assert re.fullmatch(r"0.png: (\d [\d.]+%(, )?){3}", lines[0])


@compiles_long
def test_new_white_box(folder):
    script = ROOT / "examples/new_white_box.py"
    out = _run(folder, script, "new.keras", "--epochs", "3")
    (accuracy,) = re.findall(r"([\d.]+)% of 1000", out)
    assert float(accuracy) > 30  # chance is 10 %
    assert "paper's convention" in out
    (operator,) = re.findall(r"class PaperMSSA.*?\n\n\n", script.read_text(), re.DOTALL)
    assert len(operator.strip().splitlines()) < 30


@compiles_long
def test_masked_autoencoder(folder):
    out = _run(
        folder, ROOT / "examples/masked_autoencoder.py", "mae", "--epochs", "1", "--labels", "50"
    )
    before, after = map(float, re.findall(r"([\d.]+) before, ([\d.]+) after", out)[0])
    assert after < 0.9 * before
    assert re.search(r"linear probe [\d.]+%, fine-tuned [\d.]+%, from scratch [\d.]+%", out)
    assert (folder / "mae/mae.keras").exists() and (folder / "mae/reconstruction.png").exists()


@compiles_long
def test_layerwise_objective(folder):
    out = _run(
        folder, ROOT / "examples/layerwise_objective.py",
        "--output", "layers", "--epochs", "2", "--every", "1", "--images", "256",
    )  # fmt: skip
    assert "authors' convention" in out and "paper's convention" in out
    record = json.loads((folder / "layers/layers.json").read_text())
    assert list(record["paper"]) == ["0", "1", "2"]
    before, after = (record["authors"][epoch]["coding_rate_mean"] for epoch in ("0", "2"))
    assert np.abs(np.subtract(before, after)).max() > 0.1
    for name in ("layers-authors.png", "layers-paper.gif", "heads.png", "blocks.png"):
        assert (folder / "layers" / name).stat().st_size > 10_000


@compiles_long
def test_sparse_rate_regularizer(folder):
    out = _run(
        folder, ROOT / "examples/sparse_rate_regularizer.py",
        "--weights", "0", "0.1", "--epochs", "1",
    )  # fmt: skip
    plain, regularised = (line.split() for line in out.strip().splitlines()[-2:])
    assert float(regularised[2]) > float(plain[2])  # the rate reduction


@pytest.mark.slow
def test_emergent_segmentation(folder):
    out = _run(
        folder, ROOT / "examples/emergent_segmentation.py",
        "--output", "segmentation", "--epochs", "1", "--images", "64", "--dim", "64",
    )  # fmt: skip
    scored = json.loads((folder / "segmentation/segmentation.json").read_text())
    table = scored["iou"]
    assert len(table) == 4 * 4 + 3 and "cut of keys, vit, untrained" in table
    shapes, error = table["no model: patches half or more in the mask"]["shapes"]
    assert 0.6 < shapes < 0.8 and 0 < error < 0.05
    assert shapes > table["cut of keys, crate"]["shapes"][0] > 0.05
    attention = scored["attention_on_object"]
    area, _ = attention["area of the object"]["shapes"]
    assert 0.5 * area < attention["attention on the object, vit"]["shapes"][0] < 1
    assert out.count("chosen") == 2 and (folder / "segmentation/segmentation.png").exists()
    crate, vit = (json.loads((folder / "segmentation/training.json").read_text())[k]
                  for k in ("crate", "vit"))  # fmt: skip
    assert abs(crate["parameters"] / vit["parameters"] - 1) < 0.2


@compiles_long
def test_self_supervised(folder):
    """On the digits, since the folder of Fashion-MNIST is not there."""
    command = [ROOT / "examples/self_supervised.py", "--output", "features", "--data", "none"]
    command += ["--images", "512", "--seeds", "1", "--simdino", "1", "--others", "1"]
    out = _run(folder, *command)
    [found] = json.loads((folder / "features/self_supervised.json").read_text())
    assert list(found) == ["pixels", "untrained", "masked autoencoder", "SimDINO", "supervised"]
    assert all(30 < accuracy <= 100 for accuracy, _ in found.values())  # chance is 10 %
    table = (folder / "features/self_supervised.md").read_text()
    assert table in out and "mnist5k, 512 images" in table


@pytest.mark.any_backend
def test_every_example_is_tested():
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    scripts = {path: path.read_text() for path in (ROOT / "examples").glob("*.py")}
    tested = [text for path, text in scripts.items() if f"examples/{path.name}" in here]
    for path in scripts:  # a module is tested by the scripts that import it
        is_imported = any(f"\nfrom {path.stem} import " in text for text in tested)
        assert f"examples/{path.name}" in here or is_imported, path.name


@compiles_long
def test_the_readmes_lines(folder):
    readme = (ROOT / "README.md").read_text("utf8")
    code, base = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    result = subprocess.run(
        [sys.executable, "-c", code + base],
        cwd=folder,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
        | {"PYTHONWARNINGS": "ignore", "KERAS_HOME": str(folder / "no-keras-json")},
    )
    assert result.returncode == 0, result.stderr
    assert "Pullover" in result.stdout and "coding rate" in result.stdout
    assert (folder / "layers.png").exists() and (folder / "heads.png").exists()


@pytest.mark.any_backend
def test_look_inside(folder):
    command = [ROOT / "examples/look_inside.py", "--variant", "crate_fashion_mnist"]
    assert "wrote" in _run(folder, *command, "--output", "inside.png")
    assert (folder / "inside.png").stat().st_size > 20_000


@pytest.mark.any_backend
def test_train_plain_vit(folder):
    command = [ROOT / "examples/train_plain_vit.py", "--data", "mnist5k", "--limit", "64"]
    assert "best_val_accuracy" in _run(folder, *command, "--epochs", "1", "--output", "vit")
    assert (folder / "vit/plain_vit.safetensors").stat().st_size > 600_000


@pytest.mark.any_backend
def test_the_table_of_models_is_the_code():
    from keras_crate.weights.sizes import SIZES
    from keras_crate.weights.variants import variants

    reported = {}  # per cent by patch, of weights for ImageNet-1K
    for variant in variants().values():
        if variant.top1 is not None and "imagenet" in variant.weights:
            patch = variant.architecture.patch[0]
            reported.setdefault(variant.constructor, {})[patch] = variant.top1
    page = (ROOT / "docs" / "models.md").read_text("utf8")
    for name, size in SIZES.items():
        top1 = ", ".join(
            f"{top1} % (patch {p})" for p, top1 in sorted(reported.get(name, {}).items())
        )
        row = f"| `{name}` | {size.dim} | {size.depth} | {size.heads} | {size.patch} | "
        row += f"{size.parameters:,} | {top1 or '-'} |"
        assert row in page


@pytest.mark.slow
def test_transfer(folder):
    command = [ROOT / "examples/transfer.py", "--output", "transfer", "--seeds", "1"]
    out = _run(folder, *command, "--epochs", "1", "--then", "1", "--draws", "1")
    results = json.loads((folder / "transfer/transfer.json").read_text())
    parameters = [int(name.split(",", 1)[1].split()[0].replace(",", "")) for name in results]
    assert abs(parameters[0] / parameters[1] - 1) < 0.05
    for seeds in results.values():
        assert len(seeds) == 1 and all(0 < value <= 100 for value in seeds[0].values())
        assert seeds[0]["linear probe, pre-trained"] > seeds[0]["1 of each class, pre-trained"] > 15
    table = (folder / "transfer/transfer.md").read_text()
    assert table in out and "| fine-tuned |" in table and "±" in table


@compiles_long
def test_compare(folder):
    command = [ROOT / "examples/compare.py", "--output", "compare", "--seeds", "1"]
    models = ["--models", "CRATE", "ViT", "CNN"]
    out = _run(folder, *command, *models, "--data", "mnist5k", "--epochs", "1", "--limit", "128")
    table = (folder / "compare/comparison.md").read_text()
    assert table.strip() in out
    parameters = [int(row.split("|")[2].replace(",", "")) for row in table.splitlines()[2:]]
    assert max(parameters) / min(parameters) < 1.1


@compiles_long
def test_ablations(folder):
    command = [ROOT / "examples/ablations.py", "--output", "ablations", "--width", "32"]
    some = ["--models", "CRATE", "CBSA", "--data", "mnist5k", "--epochs", "1", "--limit", "128"]
    out = _run(folder, *command, *some)
    text = (folder / "ablations/comparison.md").read_text()
    assert text.strip() in out and text.count("| CBSA |") == 2


@pytest.mark.slow
def test_depth(folder):
    settings = 'extends = "digits-small"\nepochs = 1\nwarmup_epochs = 0\n'
    # With drop-path, a copy is trained.
    (folder / "depth.toml").write_text(settings + "drop_path_rate = 0.1")
    command = [ROOT / "examples/depth.py", "--output", "depth", "--recipe", "depth.toml"]
    small = ["--data", "mnist5k", "--limit", "64", "--width", "64", "--images", "4"]
    out = _run(folder, *command, *small)
    before = (folder / "depth/depth.json").read_text()
    assert (folder / "depth/depth.md").read_text().strip() in out
    shutil.rmtree(folder / "depth/vit")
    _run(folder, *command, *small, "--train", "none")  # measures what is there
    assert [*json.loads((folder / "depth/depth.json").read_text())] == ["crate"]
    results = json.loads(before)
    for name in ("crate", "vit"):
        [of_seed] = results[name]
        assert set(of_seed) == {"0", "1"}
        assert len(of_seed["1"]["paper"]["coding_rate_mean"]) == 12
        first, last = (of_seed[k]["authors"]["coding_rate_mean"] for k in ("0", "1"))
        assert first != last  # the trained model was kept, not the one before
    sparsity = [results[name][0]["1"]["authors"]["sparsity_mean"][3] for name in results]
    assert sparsity[0] > 0.3 and sparsity[1] < 0.01  # a ViT has no exact zeros


@compiles_long
def test_fractals(folder):
    command = [ROOT / "examples/fractals.py", "--output", "fractals", "--pixels", "32"]
    small = ["--classes", "3", "--each", "12", "--epochs", "1", "--garments", "40", "--tune", "1"]
    _run(folder, *command, *small, "--data", "mnist5k", "--workers", "1")
    (folder / "fractals/fractals.json").unlink()
    _run(folder, *command, *small, "--data", "mnist5k", "--workers", "1")  # nothing is trained
    found = json.loads((folder / "fractals/fractals.json").read_text())
    assert all(0 <= found[k]["linear"] <= 100 for k in ("random", "trained"))
