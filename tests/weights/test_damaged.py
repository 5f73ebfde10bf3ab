"""Small files that declare much, and files that libraries cannot read: one message, no memory."""

import io
import json
import struct
import zipfile

import h5py
import numpy as np
import pytest
from fuzz.reader import Reader, check
from marks import those_of_pytorch

from keras_crate import CRATE
from keras_crate.hub import from_checkpoint, to_pytorch
from keras_crate.hub.open_model import open_model
from keras_crate.weights.damaged import damage_named, most_bytes
from keras_crate.weights.hdf5 import Refused
from keras_crate.weights.tensor_files import open_tensors

pytestmark = pytest.mark.any_backend

MANY = 80_000_000  # bytes, above what a small file may declare
DECLARES = r"declares [\d,]+ bytes, but its weights file has [\d,]+"
DAMAGED = "is truncated or damaged: copy or download it again"


def _zip(members: dict[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _npy(shape, replaced=(b"", b"")) -> bytes:
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue().replace(*replaced)


def _safetensors(shapes: dict[str, tuple]) -> bytes:
    header, start = {}, 0
    for name, shape in shapes.items():
        end = start + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(start)


def _pth(make) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"cls_token": make(torch)}, file)
    return file.getvalue()


def _sparse(torch):
    return torch.sparse_coo_tensor([[0], [1]], [1.0], (2, 2))


def _quantised(torch):
    return torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)


def _hdf5(write) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        write(opened)
    return file.getvalue()


def _of_array_instead_of_group(file):
    file["layers/a"] = [1]


def _without_name(file):
    file["layers/a/vars/0"] = [1]


def _chunks(file):
    file["layers/a/vars/0"] = [1.0]
    file["layers/a/vars"].attrs["name"] = "a"
    zeros = file.create_dataset("layers/a/vars/1", (10**6, 10**6), "float32", chunks=(10, 10))
    zeros[:10, :10] = 1


def _unknown_compression() -> bytes:
    content = _zip({"a.npy": _npy((3,))})
    return content.replace(b"PK\x03\x04\x14\0\0\0\0\0", b"PK\x03\x04\x14\0\0\0\x63\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0"
    )


def _bad_lzma() -> bytes:
    content = bytearray(_zip({"a.npy": _npy((3,))}, compression=zipfile.ZIP_LZMA))
    content[50:60] = b"\xff" * 10
    return bytes(content)


def _bad_name() -> bytes:
    return _zip({"\u00e9.npy": _npy((3,))}).replace("\u00e9".encode(), b"\xff\xfe")


FILES = {
    "terabytes.npz": (lambda: _zip({"a.npy": _npy((10**6, 10**6))}), DECLARES),
    "bomb.npz": (lambda: _zip({"a.npy": bytes(MANY)}, compression=8), DECLARES),
    "header.npz": (lambda: _zip({"a.npy": _npy((3,), (b"'shape'", b"'sha(e'"))}), DAMAGED),
    "tokens.npz": (lambda: _zip({"a.npy": _npy((3,), (b"(3,)", b"(3(("))}), DAMAGED),
    "compression.npz": (_unknown_compression, DAMAGED),
    "lzma.npz": (_bad_lzma, DAMAGED),
    "name.npz": (_bad_name, DAMAGED),
    "weights.keras": (lambda: _zip({"model.weights.h5": bytes(MANY)}, compression=8), DECLARES),
    "config.keras": (
        lambda: _zip({"model.weights.h5": b"", "config.json": bytes(MANY)}, compression=8),
        DECLARES,
    ),
    "stride.pth": (lambda: _pth(lambda torch: torch.zeros(1).expand(24_000, 24_000)), DECLARES),
    "meta.pth": (lambda: _pth(lambda torch: torch.empty(3, device="meta")), "not a plain array"),
    "sparse.pth": (lambda: _pth(_sparse), "not a plain array of numbers .cls_token: torch.sparse"),
    "quantised.pth": (lambda: _pth(_quantised), "not a plain array.*is_quantized"),
    "blocks.safetensors": (
        lambda: _safetensors(
            {
                "cls_token": (1, 1, 4),
                "pos_embedding": (1, 5, 4),
                "to_patch_embedding.1.weight": (12,),
                "transformer.layers.3000000.0.norm.weight": (4,),
            }
        ),
        "a block numbered 3000000, but only 4 tensors",
    ),
    "digits.safetensors": (
        lambda: _safetensors({f"transformer.layers.{'9' * 5000}.0.norm.weight": (4,)}),
        "a tensor whose name is longer than 200 characters",
    ),
    "lines.safetensors": (lambda: _safetensors({"a\n" * 9: (4,)}), "or not printable: 'a.na"),
    "group.weights.h5": (lambda: _hdf5(_of_array_instead_of_group), DAMAGED),
    "unnamed.weights.h5": (lambda: _hdf5(_without_name), DAMAGED),
    "chunks.weights.h5": (lambda: _hdf5(_chunks), DECLARES),
}


@pytest.mark.parametrize("name", those_of_pytorch(FILES))
def test_the_message_names_the_file(name, tmp_path):
    make, message = FILES[name]
    reader = Reader(name, name, list, lambda path: CRATE(4, 1, 1, weights=path))
    with pytest.raises(ValueError, match=message) as raised:
        reader.read(_write(tmp_path / name, make()))
    assert name in str(raised.value)
    check(reader, make(), tmp_path)  # memory, time and lines


def _write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["weights.keras", "config.keras"])
def test_models_that_unpack_to_much(name, tmp_path):
    make, message = FILES[name]
    with pytest.raises(ValueError, match=message):
        open_model(str(_write(tmp_path / name, make())))


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": "small"},
        {"mean": [float("nan")] * 3, "std": [1.0] * 3},
        {"mean": None, "std": [1.0] * 3},
        {"std": {"a": 1}, "mean": 0.5},
        {"class_names": 1.5},
        {"class_names": ["a", "b"]},
        {"evaluation": [3]},
    ],
)
def test_settings_of_a_file_that_no_model_has(changes, tmp_path):
    options = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
    CRATE(8, 1, 2, **options).save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"].update(changes)
    _write(tmp_path / "b.keras", _zip({**members, "config.json": json.dumps(config)}))
    with pytest.raises(ValueError, match=r"The model in .*b.keras has a setting that is damaged"):
        CRATE(8, 1, 2, **options, weights=tmp_path / "b.keras")


@pytest.mark.parametrize("grid", [(2, 123), (-2, -2)])
def test_a_grid_of_other_positions(grid, tmp_path):
    options = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
    CRATE(8, 1, 2, **options).save_weights(tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5", "r+") as file:
        variables = file["layers/token_embedding/vars"]
        del variables["grid"]
        variables["grid"] = np.array(grid)
    with pytest.raises(ValueError, match=f"a.weights.h5 {DAMAGED}.*5 positions"):
        CRATE(8, 1, 2, **options, weights=tmp_path / "a.weights.h5")


def test_what_libraries_raise_while_an_array_is_read(tmp_path):
    """The checksum of an archive's member is known when it was read."""
    content = bytearray(_zip({"a.npy": _npy((10_000,)) + bytes(40_000)}))
    content[20_000] ^= 1
    with (
        open_tensors(_write(tmp_path / "a.npz", content)) as file,
        pytest.raises(ValueError, match=f"a.npz {DAMAGED}.*CRC"),
    ):
        file.tensors["a"].read()


def test_weights_in_float16_and_sparse_ones_are_no_bombs(tmp_path):
    """A good file may be compressed, of half the precision, and mostly zeros."""
    assert most_bytes(10_000_000) > 150_000_000
    assert most_bytes(1_000) == (64 << 20) + 16_000
    model = CRATE(8, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=3)
    tensors = {k: v.astype("float16") for k, v in to_pytorch(model).items()}
    np.savez_compressed(tmp_path / "a.npz", **tensors)
    assert from_checkpoint(tmp_path / "a.npz", heads=2).count_params() == model.count_params()


def test_too_little_memory_may_be_the_reason():
    said = "not enough memory for the weights file a.npz, or it is damaged"
    with pytest.raises(Refused, match=said), damage_named("a.npz"):
        raise MemoryError
