"""A publisher's results in the two forms that the Hub reads."""

import re
from typing import Any

from keras_crate.hub.published import Published

RESULTS_FOLDER = ".eval_results"
RESULTS_FILE = f"{RESULTS_FOLDER}/keras_crate.yaml"
# The Hub's name for the task of a data set that has one.
_ONE_TASK = "default"


def eval_results(published: Published) -> str:
    """Returns the text of `.eval_results/*.yaml`, the Hub's current form.

    An entry names a data set on the Hub. If the publisher named no such data set, the
    text is empty and no file is written.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump

    if published.dataset_on_hub is None or not published.metrics:
        return ""
    entries = [
        EvalResultEntry(
            dataset_id=published.dataset_on_hub,
            task_id=_ONE_TASK,
            value=float(value),
            notes=f"metric: {name}",
        )
        for name, value in published.metrics.items()
    ]
    return yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)


def model_index(published: Published, task: str | None) -> list[Any] | None:
    """Returns results for a card's metadata, the Hub's earlier form, or None without results."""
    from huggingface_hub import EvalResult

    dataset = published.dataset or ""
    slug = re.sub(r"[^a-z0-9_./-]+", "-", dataset.lower()).strip("-")
    found = [
        EvalResult(
            task_type=task or "other",
            dataset_type=published.dataset_on_hub or slug,
            dataset_name=dataset,
            metric_type=name,
            metric_value=float(value),
        )
        for name, value in published.metrics.items()
    ]
    return found or None
