"""The authors' checkpoints as models: golden numbers through files on disk."""

import argparse
import json
import re
import zipfile

import keras
import numpy as np
import pytest
from authors import golden, images_of, parameters_of, state_of
from compare import assert_close
from marks import TORCH, without_torch

import keras_crate
from keras_crate.hub import from_checkpoint, to_pytorch

MICRO = {"heads": 4, "include_preprocessing": False, "classifier_activation": None}
GOLDEN = {
    "crate_micro": MICRO,
    "crate_nonsquare_meanpool": {
        **MICRO,
        "heads": 2,
        "patch_size": (8, 4),
        "input_shape": (24, 40, 3),
        "pooling": "avg",
    },
    "crate_alpha_micro": MICRO,
    "crate_alpha_jax_micro": MICRO,
    "cbt_micro": {"include_preprocessing": False, "classifier_activation": None},
    "cbt_patch8_micro": {"include_preprocessing": False, "classifier_activation": None},
}
try:  # also where it is not the backend: it reads and writes its files
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(
    torch is None, reason="PyTorch's files need PyTorch; tox's `checkpoints` runs this everywhere"
)


def _check_logits(name, model):
    numbers = golden(name)
    assert_close(model.predict(images_of(numbers), verbose=0), numbers["logits"], atol=2e-5)


def _mae_is_right(model):
    numbers = golden("crate_mae_micro")
    found = model.predict_with_noise(images_of(numbers), numbers["noise"])["patches"]
    assert_close(found, numbers["pred_patches"], atol=2e-5)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_logits_through_a_safetensors_file(name, tmp_path):
    from safetensors.numpy import save_file

    state = {k: np.ascontiguousarray(v) for k, v in state_of(golden(name)).items()}
    save_file(state, tmp_path / "a.safetensors")
    _check_logits(name, from_checkpoint(tmp_path / "a.safetensors", **GOLDEN[name]))


def test_a_masked_autoencoder(tmp_path):
    state = state_of(golden("crate_mae_micro"))
    with pytest.warns(UserWarning, match=r"3 tensors were left out: decoder_embed.\*, pos_embed"):
        model = from_checkpoint({"model": state}, heads=4, include_preprocessing=False)
    assert type(model) is keras_crate.CRATEMAE
    assert model.settings.penalty == 0.5
    _mae_is_right(model)


@pytest.mark.any_backend
def test_the_archive_of_jax_with_its_optimizer_and_clock(tmp_path):
    numbers = golden("crate_alpha_jax_micro")
    state = state_of(numbers)
    others = {
        "opt/0/mu/head/kernel": np.ones((3, 3)),
        "opt/0/count": np.array(7),
        "chrono/accum_train_time": np.array(1.5),
        "chrono/note": np.array({"an": "object"}, dtype=object),  # which only pickle reads
    }
    np.savez(tmp_path / "a.npz", **{f"params/{k}": v for k, v in state.items()}, **others)
    model = from_checkpoint(
        tmp_path / "a.npz", include_preprocessing=False, classifier_activation=None
    )
    assert (model.settings.heads, model.settings.epsilon) == (4, 1e-6)
    _check_logits("crate_alpha_jax_micro", model)
    np.savez(tmp_path / "b.npz", **state)  # the parameters alone
    assert from_checkpoint(tmp_path / "b.npz").settings.heads == 4


def test_numbers_of_half_precision(tmp_path):
    import ml_dtypes

    state = {k: v.astype(ml_dtypes.bfloat16) for k, v in _alpha_of_jax().items()}
    np.savez(tmp_path / "a.npz", **{f"params/{k}": v for k, v in state.items()})
    model = from_checkpoint(tmp_path / "a.npz")
    expected = state["head/kernel"].astype("float32")
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], expected)
    half = {k: v.astype("float16") for k, v in _crate().items()}
    assert from_checkpoint(half, heads=4).dtype == "float32"


def _crate():
    return state_of(golden("crate_micro"))


def _alpha_of_jax():
    return state_of(golden("crate_alpha_jax_micro"))


def _forms(state):
    """The state dict in every form that trainers save."""
    module = {f"module.{k}": v for k, v in state.items()}
    return {
        "plain": state,
        "module": module,
        "state_dict": {"state_dict": module, "epoch": 3, "best_acc1": 0.5, "optimizer": {"lr": 1}},
        "model": {"model": state, "optimizer": {"state": {0: {"step": 1}}}, "args": {"lr": 0.1}},
        "net": {"net": module, "acc": 70.8},
        "compiled": {"model": {f"_orig_mod.{k}": v for k, v in state.items()}},
        "both": {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    }


@pytest.mark.any_backend
@pytest.mark.parametrize("form", _forms({}))
def test_forms_of_a_dictionary(form):
    model = from_checkpoint(_forms(_crate())[form], **MICRO)
    _check_logits("crate_micro", model)


@needs_torch
@pytest.mark.parametrize("ending", [".pth", ".pt", ".pth.tar", ""])
@pytest.mark.parametrize("form", ["plain", "state_dict", "net"])
def test_files_of_pytorch(form, ending, tmp_path):
    path = tmp_path / f"checkpoint{ending}"
    state = {k: torch.from_numpy(v) for k, v in _crate().items()}
    torch.save(_forms(state)[form], path)
    _check_logits("crate_micro", from_checkpoint(path, **MICRO))


@needs_torch
def test_a_cbt_as_its_authors_save_it(tmp_path):
    """Of a model in several processes, with the state of the training."""
    state = {f"module.{k}": torch.tensor(v) for k, v in state_of(golden("cbt_micro")).items()}
    content = {
        "state_dict": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 2e-4}]},
        "scheduler": {"last_epoch": 150, "_get_lr_called_within_step": False},
        "epoch": 150,
        "best_acc1": 71.4,
    }
    torch.save(content, tmp_path / "cbt.pth.tar")
    model = from_checkpoint(tmp_path / "cbt.pth.tar", **GOLDEN["cbt_micro"])
    assert type(model) is keras_crate.CBT
    assert (model.settings.heads, model.settings.patch_size) == (4, (16, 16))
    _check_logits("cbt_micro", model)
    to_pytorch(model, tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    counters = [v for k, v in back.items() if k.endswith("num_batches_tracked")]
    assert [v.dtype for v in counters] == 4 * [torch.int64]
    same = keras_crate.CBT(  # by `weights=` of the constructor too
        64, 2, 4, input_shape=(160, 160, 3), classes=11, weights=tmp_path / "back.pth"
    )
    for a, b in zip(same.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_cbt_has_the_heads_and_patches_of_its_tensors():
    state = state_of(golden("cbt_patch8_micro"))
    with pytest.raises(ValueError, match=r"heads=4, but the dictionary has 2"):
        from_checkpoint(state, heads=4)
    with pytest.raises(ValueError, match=r"First difference: block_0_cbsa/step_x has shape"):
        keras_crate.CBT(32, 2, 4, input_shape=(48, 48, 3), patch_size=8, classes=7, weights=state)
    one = keras_crate.CBT(8, 1, 1, input_shape=(8, 8, 3), patch_size=4, classes=3)
    assert from_checkpoint(to_pytorch(one)).settings.heads == 1
    pair = keras_crate.CBT(8, 1, 1, input_shape=(8, 8, 3), patch_size=(4, 2), classes=3)
    with pytest.raises(ValueError, match=r"no such model.*convolution_1/kernel"):
        to_pytorch(pair)
    with pytest.warns(UserWarning, match=r"do not hold representatives=\(2, 2\)"):
        to_pytorch(keras_crate.CBT(8, 1, 2, representatives=2, input_shape=(16, 16, 3)))
    del state["to_patch_embedding.proj.0.1.running_var"]
    with pytest.raises(ValueError, match=r"not a complete CBT of PyTorch.*\n.*Missing \(1\): to_p"):
        from_checkpoint(state)


@needs_torch
@pytest.mark.parametrize("name", ["crate_nonsquare_meanpool", "crate_alpha_micro"])
def test_golden_logits_through_a_pth_file(name, tmp_path):
    state = {k: torch.from_numpy(v) for k, v in state_of(golden(name)).items()}
    torch.save(state, tmp_path / "a.pth")
    _check_logits(name, from_checkpoint(tmp_path / "a.pth", **GOLDEN[name]))


@needs_torch
@pytest.mark.filterwarnings("ignore:Of .* tensors were left out")
def test_a_masked_autoencoder_through_a_pth_file(tmp_path):
    state = {k: torch.from_numpy(v) for k, v in state_of(golden("crate_mae_micro")).items()}
    torch.save({"model": state, "epoch": 799}, tmp_path / "a.pth")
    _mae_is_right(from_checkpoint(tmp_path / "a.pth", heads=4, include_preprocessing=False))


@needs_torch
def test_old_files_and_bfloat16_of_pytorch(tmp_path):
    state = {k: torch.from_numpy(v) for k, v in _crate().items()}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    _check_logits("crate_micro", from_checkpoint(tmp_path / "a.pth", **MICRO))
    torch.save({k: v.bfloat16() for k, v in state.items()}, tmp_path / "b.pth")
    model = from_checkpoint(tmp_path / "b.pth", **MICRO)
    expected = state["mlp_head.1.weight"].bfloat16().float().numpy().T
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], expected)


@needs_torch
def test_what_trainers_save_beside_the_weights(tmp_path):
    """Such as the masked autoencoder's, which holds the arguments of its command line."""
    state = {k: torch.from_numpy(v) for k, v in _crate().items()}
    content = {
        "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]},
        "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(lr=1e-3, data_path="imagenet", betas=(0.9, 0.95)),
        "best_acc1": np.float64(70.8),
        "epoch": np.int64(799),
    }
    torch.save(content, tmp_path / "a.pth")
    _check_logits("crate_micro", from_checkpoint(tmp_path / "a.pth", **MICRO))


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@needs_torch
@pytest.mark.parametrize("new", [True, False])
def test_no_code_of_a_file_is_run(new, tmp_path):
    path, trace = tmp_path / "a.pth", tmp_path / "trace"
    content = {"state_dict": {"cls_token": torch.ones(1, 1, 4)}, "args": Trap(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=r"Loading them would run code from the file") as raised:
        from_checkpoint(path)
    assert not trace.exists()
    assert "weights_only" not in str(raised.value)  # no advice to run it after all


@needs_torch
def test_a_truncated_file_of_pytorch(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({k: torch.from_numpy(v) for k, v in _crate().items()}, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"a\.pth.*(not a weights file|truncated or damaged)"):
        from_checkpoint(path)


@without_torch
@pytest.mark.parametrize("name", ["crate.pth", "crate.npz"])
def test_without_pytorch_its_files_need_it(name, tmp_path):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("crate/data.pkl", b"\x80\x02}.")
    with pytest.raises(ImportError, match=rf"Reading {name}, a file of PyTorch, needs torch.*"):
        from_checkpoint(path)
    model = from_checkpoint(_crate(), **MICRO)
    with pytest.raises(ImportError, match=r"Writing a file of PyTorch needs torch"):
        to_pytorch(model, tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize("name", sorted(GOLDEN.keys() - {"crate_alpha_jax_micro"}))
def test_there_and_back_is_identical(name, tmp_path):
    state = state_of(golden(name))
    for key in state:
        if key.endswith("num_batches_tracked"):
            state[key] = np.zeros((), "int64")  # nothing is computed with it
    back = to_pytorch(from_checkpoint(state, **GOLDEN[name]), tmp_path / "a.safetensors")
    assert back.keys() == state.keys()
    for key, values in state.items():
        np.testing.assert_array_equal(back[key], values, err_msg=key)
    _check_logits(name, from_checkpoint(tmp_path / "a.safetensors", **GOLDEN[name]))


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "options",
    [
        {"penalty": 0.5},
        {"mean": [0.5] * 3, "std": [0.5] * 3},
        {"pooling": "avg"},
        {"include_preprocessing": False},
    ],
)
def test_settings_that_tensors_do_not_hold(options):
    small = {"dim": 24, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}
    model = keras_crate.CRATE(**small, classes=3, **options)
    names = ".*".join(options)
    with pytest.warns(UserWarning, match=f"tensors do not hold .*{names}.*Pass these"):
        tensors = to_pytorch(model)
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    same = from_checkpoint(tensors, heads=2, **options)
    np.testing.assert_array_equal(same.predict(images, verbose=0), model.predict(images, verbose=0))
    other = from_checkpoint(tensors, heads=2)
    difference = other.predict(images, verbose=0) - model.predict(images, verbose=0)
    assert np.abs(difference).max() > 1e-4


@pytest.mark.any_backend
def test_one_head_needs_no_output_map():
    with pytest.raises(ValueError, match=r"no output map in its attention.*heads=1"):
        from_checkpoint(_crate(), heads=1)
    small = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
    model = keras_crate.CRATE(24, 2, 1, **small)
    again = from_checkpoint(to_pytorch(model))
    assert again.settings.heads == 1
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:Of .* tensors were left out")
def test_a_masked_autoencoder_there_and_back():
    state = state_of(golden("crate_mae_micro"))
    back = to_pytorch(from_checkpoint(state, heads=4))
    unused = {"pos_embed", "decoder_embed.weight", "decoder_embed.bias"}
    assert back.keys() == state.keys() - unused
    for key, values in back.items():
        np.testing.assert_array_equal(values, state[key], err_msg=key)


@needs_torch
def test_writing_a_file_of_pytorch(tmp_path):
    model = from_checkpoint(_crate(), **MICRO)
    to_pytorch(model, tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    for key, values in _crate().items():
        np.testing.assert_array_equal(state[key].numpy(), values)


@pytest.mark.any_backend
def test_adapters_are_merged_and_int8_is_refused():
    model = from_checkpoint(_crate(), **MICRO)
    model.enable_lora(2)
    layer = model.get_layer("block_0_ista").dictionary
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    name = "transformer.layers.0.1.fn.weight"
    found = to_pytorch(model)
    np.testing.assert_allclose(found[name], keras.ops.convert_to_numpy(layer.kernel))
    assert np.abs(found[name] - _crate()[name]).max() > 1e-3
    model = from_checkpoint(_crate(), **MICRO)
    model.quantize("int8")
    with pytest.raises(ValueError, match=r"patch_embedding/projection is quantised \(int8\)"):
        to_pytorch(model)


@pytest.mark.any_backend
def test_models_that_the_authors_code_has_not(tmp_path):
    small = {"input_shape": (16, 16, 3), "patch_size": 8}
    with pytest.raises(ValueError, match=r"block_0_tssa.*Save the model with `model.save`"):
        to_pytorch(keras_crate.CRATE(24, 1, 2, compress="tssa", **small))
    with pytest.raises(ValueError, match=r"Received: a CRATEMAEEncoder. Pass the CRATEMAE itself"):
        to_pytorch(keras_crate.CRATEMAEEncoder(24, 1, 2, **small))
    with pytest.raises(ValueError, match=r"`path` must end in .safetensors, .pth or .pt"):
        to_pytorch(from_checkpoint(_crate(), **MICRO), tmp_path / "a.txt")


@pytest.mark.any_backend
def test_every_fault_is_named():
    state = _crate()
    del state["cls_token"], state["transformer.layers.1.0.norm.bias"]
    state["head_of_another"] = np.zeros(3)
    state["transformer.layers.0.1.fn.weight"] = np.zeros((48, 47))
    with pytest.raises(ValueError) as raised:
        from_checkpoint(state, heads=4)
    for words in (
        "Missing (2): ",
        "cls_token",
        "transformer.layers.1.0.norm.bias",
        "Of another shape (1): transformer.layers.0.1.fn.weight (48, 47), expected (48, 48)",
        "Not known (1): head_of_another",
        "Nothing was loaded",
    ):
        assert words in str(raised.value)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", ["crate_micro", "crate_alpha_micro", "crate_alpha_jax_micro"])
def test_any_tensor_that_is_missing_is_named(name):
    state = state_of(golden(name))
    for key in state:
        rest = {k: v for k, v in state.items() if k != key}
        if key in ("mlp_head.1.weight", "head/kernel"):
            continue  # without it there is no head, and the head's others are not known
        with pytest.raises(ValueError, match=re.escape(key)):
            from_checkpoint(rest, heads=4)


@pytest.mark.any_backend
def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*none.pth"):
        from_checkpoint(tmp_path / "none.pth")
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(ValueError, match=r"notes.txt is not a weights file"):
        from_checkpoint(tmp_path / "notes.txt")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(ValueError, match=r"a zip archive without weights"):
        from_checkpoint(tmp_path / "a.zip")
    (tmp_path / "a.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(ValueError, match=r"a.safetensors is truncated or damaged"):
        from_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"the dictionary holds no tensors.*It has: 'epoch'"):
        from_checkpoint({"epoch": 3})
    with pytest.raises(
        ValueError, match=r"no known layout \(.*CRATE of PyTorch(.|\n)*such as: conv"
    ):
        from_checkpoint({"conv.weight": np.zeros(3)})
    with pytest.raises(ValueError, match=r"holds numbers of type int64"):
        from_checkpoint({**_crate(), "cls_token": np.zeros((1, 1, 48), "int64")}, heads=4)


@pytest.mark.any_backend
def test_a_truncated_archive_of_jax(tmp_path):
    np.savez(tmp_path / "a.npz", **_alpha_of_jax())
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.npz"):
        from_checkpoint(tmp_path / "a.npz")


@pytest.mark.any_backend
def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **{"params/cls": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match=r"allow_pickle|pickle"):
        from_checkpoint(tmp_path / "a.npz")


@pytest.mark.any_backend
def test_heads_that_shapes_do_not_tell():
    with pytest.raises(ValueError, match=r"do not show the number of heads.*Pass `heads=`"):
        from_checkpoint(_crate())


@pytest.mark.any_backend
def test_heads_that_are_known_otherwise():
    head = {"head.weight": np.zeros((21_842, 768), "float32"), "head.bias": np.zeros(21_842)}
    with pytest.warns(UserWarning, match="have 6 heads. Received: heads=12, with which the out"):
        from_checkpoint(_segmentation(**head), heads=12, include_top=False)


@pytest.mark.any_backend
def test_arguments_that_the_checkpoint_decides():
    with pytest.raises(
        ValueError, match=r"`dim` must be that of the checkpoint. Received: dim=24, .* has 48"
    ):
        from_checkpoint(_crate(), heads=4, dim=24)
    with pytest.raises(
        ValueError, match=r"`heads` must be that of the checkpoint. Received: heads=2"
    ):
        from_checkpoint(_alpha_of_jax(), heads=2)
    with pytest.raises(ValueError, match=r"patches .* have 192 numbers, not 4 x 4"):
        from_checkpoint(_crate(), heads=4, patch_size=4)
    state = state_of(golden("crate_nonsquare_meanpool"))
    with pytest.raises(ValueError, match=r"have 96 numbers.*Pass `patch_size=\(rows, columns\)`"):
        from_checkpoint(state, heads=2)
    with pytest.raises(
        ValueError, match=r"for 30 patches, which do not form a square.*`input_shape=`"
    ):
        from_checkpoint(state, heads=2, patch_size=(8, 4))


def _authors_state(size, classes, **more):
    """A checkpoint of the authors' shapes, its values drawn at random."""
    from keras_crate.weights import layouts

    rng = np.random.default_rng(0)
    entries = layouts._crate(size)
    return {e.name: rng.normal(0, 0.02, e.shape).astype("float32") for e in entries} | more


def _segmentation(classes=768, dim=768, depth=12, **more):
    from keras_crate.weights.layout import Dimensions

    size = Dimensions(dim=dim, depth=depth, pixels=192, positions=5, classes=classes)
    return _authors_state(size, classes, **more)


@pytest.mark.any_backend
def test_the_segmentation_demo_is_a_backbone():
    head = {"head.weight": np.zeros((21_842, 768), "float32"), "head.bias": np.zeros(21_842)}
    with pytest.warns(
        UserWarning, match=r"left out: head\.\*, mlp_head\.\*\. head\.\*: a classifier that"
    ):
        model = from_checkpoint({"model": _segmentation(**head)})
    assert (model.settings.heads, model.settings.include_top) == (6, False)
    assert model.output_shape == (None, 768)
    assert [layer.name for layer in model.layers if "head" in layer.name] == []


@pytest.mark.any_backend
def test_widths_of_the_segmentation_with_other_heads():
    state = _segmentation()
    with pytest.raises(ValueError, match=r"do not show the number of heads: width 768, 12 blocks"):
        from_checkpoint(state)
    assert from_checkpoint(state, heads=12).output_shape == (None, 768)
    tiny = from_checkpoint(_segmentation(21_842, dim=384))  # CRATE-Small/8, as they call it
    assert (tiny.settings.heads, tiny.settings.patch_size) == (6, (8, 8))
    assert (tiny.name, tiny.output_shape) == ("crate_tiny", (None, 21_842))


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("constructor", "name"),
    [
        ("CRATETiny", "CRATE_tiny"),
        pytest.param("CRATESmall", "CRATE_small", marks=[] if TORCH else pytest.mark.slow),
        pytest.param("CBTSmall", "CBT_small", marks=[] if TORCH else pytest.mark.slow),
    ],
)
def test_sizes_that_are_known(constructor, name):
    layouts = json.loads((keras_crate_golden() / "state_dict_layouts.json").read_text())
    layout = layouts[name]
    [key] = [k for k in layout if k.startswith("tensors")]
    shapes = {}
    for tensor, shape in layout[key].items():
        for i in range(layout["depth"] if ".layers.0." in tensor else 1):
            shapes[tensor.replace(".layers.0.", f".layers.{i}.")] = shape
    state = {k: np.full(shape, 0.01, "float32") for k, shape in shapes.items()}
    model = from_checkpoint(state)
    built = getattr(keras_crate, constructor)()
    assert parameters_of(model) == layout["parameters"] == parameters_of(built)
    assert model.get_config() == {**built.get_config(), "name": model.name}


def keras_crate_golden():
    from authors import GOLDEN

    return GOLDEN


@pytest.mark.any_backend
def test_other_classes_images_and_no_head():
    expected = from_checkpoint(_crate(), **MICRO)
    with pytest.warns(UserWarning, match=r"no head for this model's 3 classes: head and head_norm"):
        three = from_checkpoint(_crate(), **MICRO, classes=3)
    with pytest.warns(UserWarning, match=r"left out: mlp_head\.\*\.$"):
        features = from_checkpoint(_crate(), **MICRO, include_top=False)
    larger = from_checkpoint(_crate(), **MICRO, input_shape=(64, 48, 3))
    for model in (three, features, larger):
        for layer in ("block_1_ista", "patch_embedding"):
            for a, b in zip(
                model.get_layer(layer).get_weights(),
                expected.get_layer(layer).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(a, b)
    assert three.output_shape == (None, 3)
    assert features.output_shape == (None, 48)
    assert larger.get_layer("token_embedding").positions.shape == (1, 8 * 6 + 1, 48)
    assert larger.output_shape == (None, 10)


def test_clipa_against_the_equations():
    """The image tower of CLIPA, whose layout no golden file has, against NumPy."""
    rng = np.random.default_rng(5)
    dim, heads, grid, patch, outputs = 24, 3, 2, 4, 7

    def draw(*shape):
        return rng.normal(0, 0.3, shape)

    tower = {
        "conv1.weight": draw(dim, 3, patch, patch),
        "class_embedding": draw(dim),
        "positional_embedding": draw(grid**2 + 1, dim),
        "ln_post.weight": draw(dim),
        "ln_post.bias": draw(dim),
        "proj": draw(dim, outputs),
    }
    for i in range(2):
        block = f"transformer.resblocks.{i}"
        projection = draw(dim, dim)
        tower |= {
            f"{block}.attn.in_proj_weight": np.concatenate([projection] * 3),
            f"{block}.attn.out_proj.weight": draw(dim, dim),
            f"{block}.mlp.c_fc": draw(dim, 4 * dim),
            f"{block}.mlp.c_proj": draw(dim, 4 * dim),
        }
        for k in (1, 2):
            tower |= {f"{block}.ln_{k}.weight": draw(dim), f"{block}.ln_{k}.bias": draw(dim)}
    image = rng.normal(size=(8, 8, 3))

    def norm(x, name):
        y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return y * tower[f"{name}.weight"] + tower[f"{name}.bias"]

    tokens = [tower["class_embedding"]]
    for row in range(grid):
        for column in range(grid):
            cut = image[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            tokens.append(np.einsum("dchw,hwc->d", tower["conv1.weight"], cut))
    x = np.array(tokens) + tower["positional_embedding"]
    for i in range(2):
        block = f"transformer.resblocks.{i}"
        w = norm(x, f"{block}.ln_1") @ tower[f"{block}.attn.in_proj_weight"][:dim].T
        parts = []
        for part in np.split(w, heads, axis=1):
            scores = np.exp(part @ part.T / np.sqrt(dim // heads))
            parts.append(scores / scores.sum(1, keepdims=True) @ part)
        x = x + np.concatenate(parts, axis=1) @ tower[f"{block}.attn.out_proj.weight"].T
        y, d, d1 = (
            norm(x, f"{block}.ln_2"),
            tower[f"{block}.mlp.c_fc"],
            tower[f"{block}.mlp.c_proj"],
        )
        z = np.maximum(0.1 * y @ d - 0.01, 0)
        z = np.maximum(z - 0.1 * (z @ d.T - y) @ d - 0.01, 0)
        x = x + z @ d1.T
    expected = norm(x[0], "ln_post") @ tower["proj"]

    state = {f"visual.{k}": v.astype("float32") for k, v in tower.items()}
    text = {"token_embedding.weight": np.zeros((9, 4)), "logit_scale": np.array(1.0)}
    with pytest.warns(UserWarning, match=r"2 tensors .*logit_scale, token_embedding.\*: the text"):
        model = from_checkpoint({**state, **text}, heads=heads, include_preprocessing=False)
    assert model.settings.epsilon == 1e-6
    assert_close(model.predict(image[None].astype("float32"), verbose=0)[0], expected, atol=2e-5)
    other = {**state, "visual.transformer.resblocks.1.attn.in_proj_weight": draw(3 * dim, dim)}
    with pytest.raises(ValueError, match=r"resblocks.1.attn.in_proj_weight has different projec"):
        from_checkpoint(other, heads=heads)
