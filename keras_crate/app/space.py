"""Publishes a model with the page that looks inside it, as a Space of the Hugging Face Hub."""

import os
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

import keras

import keras_crate
from keras_crate.checks import names_arguments
from keras_crate.extras import needed
from keras_crate.files import scratch_folder, written_whole
from keras_crate.hub.commit import commit, writer
from keras_crate.hub.push import push
from keras_crate.hub.repository_files import check_dry_run
from keras_crate.reading import read_text
from keras_crate.weights.hub_files import parse_address
from keras_crate.weights.variants import weights_folder

# The package is copied beside app.py, so the Space installs what it needs: these and a backend.
REQUIREMENTS = (
    "keras>=3.12", "numpy>=1.26", "h5py>=3.10", "huggingface-hub>=1.20", "filelock>=3.12",
    "safetensors>=0.4.1", "rich>=14.3", "tomli; python_version < '3.11'", "matplotlib>=3.10.8",
    "pillow>=10.3", "scikit-learn>=1.4", "scipy>=1.11.2", "gradio>=6.31",
)  # fmt: skip
PACKAGE, MODELS = "keras_crate", "models"
APP = '''"""Starts the page. The Hub sets host and port. Elsewhere, only this machine reaches it."""

import os
from pathlib import Path

os.chdir(Path(__file__).parent)
os.environ["KERAS_BACKEND"] = "{backend}"

from keras_crate.app.server import HOST, PORT, serve  # noqa: E402

serve(
    ["{model}"],
    host=os.environ.get("GRADIO_SERVER_NAME", HOST),
    port=int(os.environ.get("GRADIO_SERVER_PORT", PORT)),
    any_model=False,
)
'''
CARD = """---
title: {title}
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
{license}---

# {title}

What the model's heads attend to at each block, its tokens, and the coding rate and sparsity of
every block. The model is in `{model}`, and the package that runs it in `keras_crate`.

To start the page on your machine: `pip install -r requirements.txt`, then `python app.py`.
"""


@names_arguments(options=[push])
def push_space(
    model: keras.Model,
    address: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    dry_run: str | os.PathLike | None = None,
    **publication,
) -> str:
    """Publishes a model with the page that looks inside it, as a Space, in one commit.

    The Space holds the page, the model's folder as `push` writes it, and this package, so that
    it runs by itself.

    Args:
        model: The model.
        address: `"hf://user/name"` of the Space, where `user` is you or your organisation.
        private, revision, token: As in `push`.
        dry_run: Folder to write the files to, instead of publishing: new, empty, or one that an
            earlier dry run of a Space wrote.
        **publication: Other arguments of `push`, for the model's folder.

    Returns:
        Address of the commit on the Hub, or the folder of the dry run.

    Raises:
        ValueError, PermissionError, OSError: As `push`.
        ImportError: If Gradio is not installed.

    Example:

    ```python
    keras_crate.app.push_space(model, "hf://user/inside-crate", license="mit")
    ```
    """
    where = parse_address(address, revision)
    if dry_run is not None:
        local = _check_dry_run(Path(dry_run))
        with written_whole(local, folder=True) as unfinished:
            write_space(unfinished, model, address, **publication)
        return str(local)
    api = writer(where, token)
    with scratch_folder() as folder:
        root = folder / "space"
        write_space(root, model, address, **publication)
        paths = (path for path in root.rglob("*") if path.is_file())
        files = {path.relative_to(root).as_posix(): path for path in paths}
        return commit(
            api, where, files, private, f"Publish {model.name}", _is_ours, kind="space"
        )  # fmt: skip


def write_space(folder: Path, model: keras.Model, address: str, **publication) -> None:
    """Writes the files of a Space into a new folder."""
    with needed("gradio", "A Space needs"):
        gradio = metadata.version("gradio")
    short = re.sub(r"[^A-Za-z0-9_-]", "_", model.name)
    name = f"{MODELS}/{short}"
    (folder / MODELS).mkdir(parents=True)
    options = {"authors_copy": False, **publication}
    push(model, address, dry_run=folder / name, **options)
    _copy_package(folder / PACKAGE)
    backend = keras.backend.backend()
    license = publication.get("license")
    card = CARD.format(
        title=f"Inside {short}",
        gradio=gradio,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        license=f"license: {license}\n" if license else "",
        model=name,
    )
    for file, text in {
        "app.py": APP.format(backend=backend, model=name),
        "README.md": card,
        "requirements.txt": "\n".join([*REQUIREMENTS, backend]) + "\n",
        f"{PACKAGE}/LICENSE": metadata.distribution("keras-crate").read_text("licenses/LICENSE"),
    }.items():
        (folder / file).write_text(text, encoding="utf8")


def _copy_package(to: Path) -> None:
    """Copies this package, without hidden files and the weights of the variants in it."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        is_weights = Path(folder) == here / "weights" / "files"
        return {name for name in names if is_weights or name.startswith((".", "__pycache__"))}

    here = Path(keras_crate.__file__).parent
    shutil.copytree(here, to, ignore=left_out)
    registry = to / "weights" / "files" / "variants.toml"
    registry.parent.mkdir(exist_ok=True)
    shutil.copyfile(weights_folder() / registry.name, registry)


def _is_ours(name: str) -> bool:
    """Whether a file of an earlier publication is deleted."""
    return name.startswith((f"{PACKAGE}/", f"{MODELS}/"))


def _check_dry_run(folder: Path) -> Path:
    """Returns the absolute path of a folder that a dry run of a Space may write."""
    folder = folder.resolve()
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    ours = {"app.py", "README.md", "requirements.txt", PACKAGE, MODELS}
    is_file = folder.exists() and not folder.is_dir()
    is_ours = names == ours and f"{PACKAGE}.app.server" in read_text(folder / "app.py")
    if is_file or folder == Path.cwd() or (names and not is_ours):
        raise ValueError(
            "`dry_run` must be a folder that is new, empty, or that an earlier dry run of a Space "
            f"wrote. Received: {folder}"
        )
    for model in (folder / MODELS).iterdir() if names else ():
        check_dry_run(model)
    return folder
