"""The results of a publication in the two forms that the Hub reads."""

import keras
import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

import keras_crate
from keras_crate.hub import pull, push
from keras_crate.hub.published import Published
from keras_crate.hub.results import RESULTS_FILE, eval_results

pytestmark = pytest.mark.any_backend


def _push(folder, **stated):
    keras.utils.set_random_seed(0)
    model = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=3)
    push(model, "hf://somebody/small", dry_run=folder, force=True, **stated)


def test_both_forms_name_the_data_set_of_the_hub(tmp_path):
    _push(tmp_path / "a", dataset="ylecun/mnist", metrics={"accuracy": 0.9, "top5": 1})
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / "a" / RESULTS_FILE).read_text()))
    assert [(e.dataset_id, e.task_id, e.value, e.notes) for e in entries] == [
        ("ylecun/mnist", "default", 0.9, "metric: accuracy"),
        ("ylecun/mnist", "default", 1.0, "metric: top5"),
    ]
    metadata = ModelCard.load(tmp_path / "a/README.md").data
    assert metadata.datasets == ["ylecun/mnist"]
    assert [(r.dataset_type, r.metric_type, r.metric_value) for r in metadata.eval_results] == [
        ("ylecun/mnist", "accuracy", 0.9),
        ("ylecun/mnist", "top5", 1.0),
    ]
    assert pull(tmp_path / "a").count_params()


@pytest.mark.parametrize("dataset", ["mnist", "My digits", "huggingface:a/b"])
def test_no_name_on_the_hub_is_invented(dataset, tmp_path):
    stated = {"dataset": dataset, "metrics": {"accuracy": 0.9}}
    assert eval_results(Published("hf://somebody/small", **stated)) == ""
    _push(tmp_path / "a", **stated)
    assert not (tmp_path / "a" / RESULTS_FILE).exists()
    metadata = ModelCard.load(tmp_path / "a/README.md").data
    assert metadata.datasets is None and metadata.eval_results[0].dataset_name == dataset


def test_a_later_dry_run_replaces_results_but_not_those_of_others(tmp_path):
    _push(tmp_path / "a", dataset="ylecun/mnist", metrics={"accuracy": 0.9})
    _push(tmp_path / "a")
    assert not (tmp_path / "a/.eval_results").exists()
    _push(tmp_path / "a", dataset="ylecun/mnist", metrics={"accuracy": 0.9})
    (tmp_path / "a/.eval_results/mine.yaml").write_text("[]")
    with pytest.raises(ValueError, match=r"has \.eval_results/mine\.yaml"):
        _push(tmp_path / "a")
    assert (tmp_path / "a/.eval_results/mine.yaml").read_text() == "[]"
