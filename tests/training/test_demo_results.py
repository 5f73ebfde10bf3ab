import pytest

from keras_crate import CRATE
from keras_crate.figure import new_figure
from keras_crate.training import run_demo_from_scratch
from keras_crate.training.demo import run_demo
from keras_crate.training.demo_results import MARKER, demo_folder, write_results

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("run", [run_demo, run_demo_from_scratch])
def test_a_folder_of_somebody_else_is_left_as_it_is(run, tmp_path):
    (tmp_path / "model.keras").write_text("mine")
    with pytest.raises(ValueError, match=r"files that the demo did not write.*`--output`"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_text() == "mine"
    with pytest.raises(OSError, match=r"model\.keras cannot be written to"):
        run(tmp_path / "model.keras")


def test_results_of_an_earlier_demo_are_replaced(tmp_path):
    model = CRATE(8, 1, 2, input_shape=(4, 4, 1), patch_size=2, classes=2)
    folder, figure = demo_folder(tmp_path / "demo"), new_figure(1, 1)
    (folder / "repository").mkdir()
    (folder / "notes.txt").write_text("mine")
    said = []
    figures = {"sees.png": figure, "layers.png": figure}
    write_results(folder, model, {}, figures, said.append, repository=True)
    written = {"model.keras", "metrics.json", "layers.png", "notes.txt", MARKER}
    assert {path.name for path in folder.iterdir()} == {*written, "sees.png", "repository"}
    assert sum("wrote" in line for line in said) == 5
    assert demo_folder(folder) == folder
    write_results(folder, model, {}, {"layers.png": figure}, said.append)
    assert {path.name for path in folder.iterdir()} == written
