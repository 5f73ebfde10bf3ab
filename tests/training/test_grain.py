"""Batches of grain, as docs/training.md shows them."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from marks import needs

pytestmark = needs("grain")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_program_in_the_docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [program] = [
        text for text in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf8"), re.S)
        if "grain" in text
    ]  # fmt: skip
    Path("program.py").write_text(program)  # grain reads the source of functions
    names = runpy.run_path("program.py")
    assert np.isfinite(names["run"].history["loss"]).all()
    assert (tmp_path / "run" / "model.keras").is_file()


def test_endless_batches_are_refused():
    import grain

    import keras_crate
    from keras_crate.training.prepared_batches import open_prepared

    batches = grain.MapDataset.range(4).map(lambda k: (np.zeros((8, 8, 1)), k)).batch(2).repeat()
    model = keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=4)
    with pytest.raises(ValueError, match="and know their number"):
        open_prepared(batches, None, None, model)
