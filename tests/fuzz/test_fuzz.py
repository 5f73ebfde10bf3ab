"""A fixed number of changed files for every reader. Findings become tests of their readers.

`python tests/fuzz/run.py --help` tries changed files for as long as one likes.
"""

import random

import pytest
from fuzz.mutations import mutate
from fuzz.reader import check
from fuzz.readers import READERS
from marks import needs

from keras_crate.weights import hdf5_process

pytestmark = pytest.mark.any_backend

_FILES = {"hdf5": 10, "config": 40, "safetensors": 150, "pth_old": 150}
_DEFAULT = 60
# A changed archive of NumPy's may look like one of PyTorch.
_OF_PYTORCH = {"pth", "pth_checkpoint", "pth_old", "npz"}


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(r, id=r.name, marks=needs("torch") if r.name in _OF_PYTORCH else ())
        for r in READERS
    ],
)
def test_changed_files(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_process, "_SECONDS", 2)  # for a file that keeps the library
    seeds, numbers = reader.seeds(), random.Random(reader.name)
    for content in seeds:
        assert check(reader, content, tmp_path) == ""
    outcomes = {
        check(reader, mutate(numbers.choice(seeds), numbers, reader.kept), tmp_path)
        for _ in range(_FILES.get(reader.name, _DEFAULT))
    }
    assert outcomes & {"Refused", "ValueError"}
