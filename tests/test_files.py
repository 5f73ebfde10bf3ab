"""What is at a path when something else is to be written there."""

import pytest

from keras_crate.files import written_whole

pytestmark = pytest.mark.any_backend


def test_a_file_does_not_replace_a_folder(tmp_path):
    for name in ("results", "weights.bin"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="results is a folder"), written_whole(tmp_path / "results"):
        pytest.fail("the work began")
    with (
        pytest.raises(OSError, match=r"weights\.bin"),
        written_whole(tmp_path / "model.xml") as new,
    ):
        new.write_text("new")
        new.with_name("weights.bin").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"results", "weights.bin"}
    for name in ("results", "weights.bin"):
        assert (tmp_path / name / "mine.txt").read_text() == "mine"


def test_a_folder_replaces_a_folder_and_no_file(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/part").write_text("old")
    (tmp_path / "file").write_text("mine")
    with written_whole(tmp_path / "old", folder=True) as unfinished:
        unfinished.mkdir()
    assert not any((tmp_path / "old").iterdir())
    with (
        pytest.raises(OSError, match="file"),
        written_whole(tmp_path / "file", folder=True) as unfinished,
    ):
        unfinished.mkdir()
    assert (tmp_path / "file").read_text() == "mine"
