"""A fixed number of changed files for every reader. Findings become tests of their readers.

`python tests/fuzz/run.py --help` tries changed files for as long as one likes.
"""

import random

import pytest
from fuzz.mutations import mutate
from fuzz.reader import check
from fuzz.readers import READERS

from keras_crate.weights import hdf5_process

pytestmark = pytest.mark.any_backend

_FILES = {"hdf5": 10, "config": 40, "safetensors": 150, "pth_old": 150}
_DEFAULT = 60


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
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
