"""Publishes models on the Hugging Face Hub."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras

from keras_crate.checks import names_arguments
from keras_crate.evaluation import Evaluation
from keras_crate.hub.published import Published
from keras_crate.hub.repository_files import (
    ASSETS,
    REPLACED,
    check_dry_run,
    write_files,
    write_folder,
)
from keras_crate.models.untrained import is_untrained
from keras_crate.weights.hub_files import SCHEME, parse_address, reason_of, transport_errors


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

    The commit holds:

    - the model in Keras' own format. `pull` loads it on every backend. If
      TensorFlow is installed, `keras.saving.load_model("hf://user/name")` loads
      it too, after `import keras_crate`;
    - for the authors' architectures, a safetensors copy in their PyTorch layout;
    - the names of the classes;
    - the results in `.eval_results`, if `dataset` is the name of a data set on the
      Hub. The Hub displays results on its benchmark data sets. The task is `default`;
    - a model card. Its first lines load and run the model. It says how to install
      and use the model, what its inputs and outputs are, and which papers to cite.
      It has the arguments below and the facts that the model itself shows. The
      card says "Not stated" where a fact is missing.

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
        OSError: If the Hub cannot be reached or refuses. Nothing is published.

    Example:

    ```python
    keras_crate.hub.push(
        model, "hf://user/crate-digits", dataset="mnist", metrics={"accuracy": 0.977}, license="mit"
    )
    ```
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

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
    if token is None:
        token = huggingface_hub.get_token()
    token = (token or "").strip()
    if not token:
        raise ValueError(
            "There is no token of the Hub to publish with. Log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write."
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("`token` must be a token of the Hub: one word of plain characters.")
    api = huggingface_hub.HfApi(token=token, library_name="keras_crate")
    try:
        _check_owner(api, where.repository)
        with tempfile.TemporaryDirectory() as folder:
            files = write_files(Path(folder), model, published, images, authors_copy)
            return _commit(api, where, files, private, message or f"Publish {model.name}")
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "?")
        kind = PermissionError if status in (401, 403) else OSError
        text = " ".join(str(error).split()).replace(token, "***")[:300]
        raise kind(f"{address} was not published: the Hub answered {status}. {text}") from None
    except (OfflineModeIsEnabled, *transport_errors()) as error:
        reason = reason_of(error).replace(token, "***")
        raise OSError(
            f"{address} was not published: the Hub cannot be reached ({reason})."
        ) from None
    except Exception as error:
        if token in str(error):
            raise OSError(f"{address} was not published.") from None
        raise


def _check_owner(api, repository: str) -> None:
    """Refuses another user's repository, and a token that may only read."""
    who = api.whoami()
    names = [who["name"], *(organisation["name"] for organisation in who.get("orgs") or [])]
    owner = repository.partition("/")[0]
    if owner not in names:
        raise PermissionError(
            f"{SCHEME}{repository} is not yours: you are {names[0]}"
            + (f" and belong to {', '.join(names[1:])}" if names[1:] else "")
            + f". Publish as {SCHEME}{names[0]}/{repository.partition('/')[2]}."
        )
    role = who.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise PermissionError(
            "Your token of the Hub may only read. Make one that may write, in the settings of "
            "your account, and log in with it (`hf auth login`)."
        )


def _commit(api, where, files: dict[str, Path], private: bool, message: str) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(where.repository, private=private, exist_ok=True)
    if private and not api.model_info(where.repository).private:
        raise PermissionError(
            f"{SCHEME}{where.repository} is there already and is public. Nothing was published. "
            "Make it private in its settings on the Hub, or choose another name."
        )
    if where.revision not in (None, "main"):
        api.create_branch(where.repository, branch=where.revision, exist_ok=True)
    tree = api.list_repo_tree(where.repository, revision=where.revision, recursive=True)
    there = {entry.path for entry in tree if hasattr(entry, "blob_id")}
    # Files that an earlier publication left would belong to another model.
    ours = {*REPLACED, *(name for name in there if name.startswith(f"{ASSETS}/"))}
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    operations += [CommitOperationDelete(name) for name in sorted((ours & there) - files.keys())]
    info = api.create_commit(
        where.repository,
        operations,
        commit_message=message,
        revision=where.revision,
    )
    return str(info.commit_url)


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
