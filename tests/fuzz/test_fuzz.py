"""A fixed number of changed files for every reader, and the files that were once found.

`python tests/fuzz/run.py --help` tries changed files for as long as one likes.
"""

import random

import pytest
from fuzz.mutations import mutate
from fuzz.reader import check
from fuzz.readers import READERS

pytestmark = pytest.mark.any_backend

_FILES = {"hdf5": 15, "config": 40}  # these take longer
_DEFAULT = 150


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_changed_files(reader, tmp_path):
    seeds, numbers = reader.seeds(), random.Random(reader.name)
    for content in seeds:
        assert check(reader, content, tmp_path) == ""
    outcomes = {
        check(reader, mutate(numbers.choice(seeds), numbers, reader.kept), tmp_path)
        for _ in range(_FILES.get(reader.name, _DEFAULT))
    }
    assert outcomes >= {"", "Refused"} or outcomes >= {"", "ValueError"}
