"""Publishes models on the Hugging Face Hub."""

import os
from collections.abc import Mapping
from pathlib import Path

import keras

from keras_crate.checks import names_arguments
from keras_crate.evaluation import Evaluation
from keras_crate.files import scratch_folder
from keras_crate.hub.commit import commit, writer
from keras_crate.hub.published import Published
from keras_crate.hub.repository_files import (
    ASSETS,
    REPLACED,
    check_dry_run,
    write_files,
    write_folder,
)
from keras_crate.models.untrained import is_untrained
from keras_crate.weights.hub_files import parse_address


@names_arguments
def push(
    model: keras.Model,
    address: str,
    *,
    dataset: str | None = None,
    metrics: Mapping[str, float] | None = None,
    license: str | None = None,
    base_model: str | None = None,
    training: Mapping | None = None,
    evaluation: Evaluation | None = None,
    images=None,
    private: bool = False,
    revision: str | None = None,
    authors_copy: bool | None = None,
    dtype: str | None = None,
    message: str | None = None,
    force: bool = False,
    token: str | None = None,
    dry_run: str | os.PathLike | None = None,
) -> str:
    """Publishes a model on the Hugging Face Hub, in one commit.

    The commit holds the model in Keras' own format, which `pull` loads on every backend; for
    the authors' architectures, a safetensors copy in their PyTorch layout; the names of the
    classes; the results in `.eval_results`, if `dataset` is on the Hub; and a model card. The
    card has the arguments below and the facts that the model itself shows. If TensorFlow is
    installed, `keras.saving.load_model("hf://user/name")` loads the model too.

    A repository or branch is made if it does not exist.

    Args:
        model: The model.
        address: `"hf://user/name"`, where `user` is you or your organisation.
        dataset: Name of the data set that the model was trained and measured on. For a
            data set on the Hub, it is `"user/name"`, such as `"ylecun/mnist"`.
        metrics: Results on that data set by name, such as `{"accuracy": 0.97}`.
        license: Identifier of the licence, such as `"mit"` or `"apache-2.0"`.
        base_model: Name on the Hub of the model that this one was fine-tuned from.
        training: Facts of the training for the card, such as epochs. The
            optimizer and loss of a compiled model are added.
        evaluation: How images were prepared for the metrics. By default, as the
            model says.
        images: Array of images as the model takes them. The coding rate and
            sparsity of every block are measured on them for the card.
        private: Whether the repository is private. An existing public
            repository is refused.
        revision: Branch to commit to; by default `main`.
        authors_copy: Whether to add the safetensors copy. By default, it is
            added if the model has such a layout and is smaller than 200 MB.
        dtype: `"float16"` to store the weights in half precision, without the
            optimizer's state. The model that loads has its own dtype, and
            weights rounded to 11 significant bits. None to store the model as it is.
        message: Message of the commit.
        force: Whether to publish a model that was never trained.
        token: Token of the Hub. By default, that of `HF_TOKEN` or `hf auth login`.
        dry_run: Folder to write the commit's files to, instead of publishing: new,
            empty, or one that an earlier dry run wrote. It needs no token and no
            network. `pull`, `keras_crate.load` and `weights=` read the folder. If
            an error is raised, it stays as it was.

    Returns:
        Address of the commit on the Hub, or the folder of the dry run.

    Raises:
        ValueError: If the address is not valid, there is no token, the model
            was never trained or would not load again, an argument does not fit
            the card, a weight is too large for `dtype`, or `dry_run` has files
            that no dry run wrote.
        PermissionError: If the repository is not yours, or the token may only
            read.
        OSError: If the Hub cannot be reached or refuses, or its answer is broken. The
            message says that nothing was published, or that this is not known.

    Example:

    ```python
    keras_crate.hub.push(
        model, "hf://user/crate-digits", dataset="mnist", metrics={"accuracy": 0.977}, license="mit"
    )
    ```
    """
    where = parse_address(address, revision)
    if hasattr(model, "without_hub"):  # a task of `keras_crate.keras_hub`
        model = model.without_hub()
    if not force and is_untrained(model):
        raise ValueError(
            f"The model {model.name} was never trained: its normalisations have their initial "
            "values. Train it, or pass `force=True` (`--force`) to publish it untrained."
        )
    published = Published(
        address=str(where),
        dataset=dataset,
        metrics=dict(metrics or {}),
        license=license,
        base_model=base_model,
        training={**_compiled(model), **(training or {})},
        evaluation=evaluation or Evaluation.known_for(model),
        dtype=dtype,
    )
    if dry_run is not None:
        local = check_dry_run(Path(dry_run))
        write_folder(local, model, published, images, authors_copy)
        return str(local)
    api = writer(where, token)
    with scratch_folder() as folder:
        files = write_files(folder, model, published, images, authors_copy)
        return commit(api, where, files, private, message or f"Publish {model.name}", _is_ours)


def _is_ours(name: str) -> bool:
    """Whether a file of an earlier publication is deleted: it would belong to another model."""
    return name in REPLACED or name.startswith(f"{ASSETS}/")


def _compiled(model) -> dict:
    """Optimizer and loss of a compiled model, for the card."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return {}
    config = optimizer.get_config()
    facts = {"optimizer": type(optimizer).__name__}
    for name in (
        "learning_rate",
        "weight_decay",
        "beta_1",
        "beta_2",
        "clipnorm",
        "global_clipnorm",
    ):
        value = config.get(name)
        if isinstance(value, dict):  # a schedule
            value = value.get("class_name")
        if value is not None:
            facts[name] = value
    facts["steps"] = int(keras.ops.convert_to_numpy(optimizer.iterations))
    loss = getattr(model, "loss", None)
    if loss:
        facts["loss"] = loss if isinstance(loss, str) else getattr(loss, "name", str(loss))
    return facts
