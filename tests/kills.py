"""Disturbs processes, and checks what comes of it: `python kills.py KIND COUNT`.

KIND is `train`, `push`, `pull` or `write`, which are killed at random moments; `together`, `cache`
or `threads`. The processes are forks of this one, which has imported everything, so that a kill
takes a second. This one computes nothing: the threads of TensorFlow do not survive a fork. Prints
how many disturbances were survived.
"""

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import small_run
from hub_client import MODELS

import keras_crate
from keras_crate.models.saving import save_model

names = {"np": np, "keras": keras, "keras_crate": keras_crate}
exec(MODELS, names)
trained, images = functools.cache(names["trained"]), names["images"]
chance = random.Random(0)


def killed(action, longest: float) -> bool:
    """Runs an action in a fork, and kills it at a random moment; False if it had ended."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = 1
        try:
            action()
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    time.sleep(chance.uniform(0, longest))
    os.kill(child, chance.choice([signal.SIGKILL, signal.SIGTERM]))
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the process failed by itself"
    return os.WIFSIGNALED(status)


def in_fork(action) -> float:
    """Runs an action in a fork, which must not fail. Returns the seconds that it took."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    return time.monotonic() - start


def same(other) -> bool:
    """Whether a model has the weights of `trained()`."""
    found, expected = (m.predict(images, verbose=0) for m in (other, trained()))
    return np.allclose(found, expected, atol=1e-6)


def check_same(load) -> None:
    """Loads a model in a fork, and compares it."""

    def check():
        assert same(load())

    in_fork(check)


def publish(address: str) -> None:
    keras_crate.hub.push(trained(), address)


def write(folder: Path, count: int) -> int:
    """Saves a model over an earlier one."""
    file = folder / "model.keras"

    def save():
        save_model(trained(), file)

    in_fork(save)
    longest = in_fork(save)
    kills = 0
    while kills < count:
        kills += killed(save, longest)
        check_same(lambda: keras.saving.load_model(file))
    return kills


def train(folder: Path, count: int) -> int:
    """Resumes a run until it ends, and compares it with one that nothing disturbed."""
    reference = folder / "reference"
    longest = in_fork(lambda: small_run.run(reference))
    kills = 0
    while kills < count:
        run = folder / str(len(list(folder.iterdir())))

        def resume(run=run):
            small_run.run(run)

        def compare(run=run):
            found, wanted = (
                keras.saving.load_model(f / "model.keras").get_weights() for f in (run, reference)
            )
            assert all(map(np.array_equal, found, wanted))

        for _ in range(4):
            kills += killed(resume, longest)
            if (run / "metrics.json").exists():
                break
            if (run / "model.keras").exists():  # whole
                in_fork(lambda run=run: keras.saving.load_model(run / "model.keras"))
        if not (run / "metrics.json").exists():
            in_fork(resume)
        in_fork(compare)
        assert not list(run.rglob(".unfinished*"))
    return kills


def push(folder: Path, count: int) -> int:
    """Publishes; the repository has no files, or all of them."""
    longest = in_fork(lambda: publish("hf://writer/killed-first"))
    kills = 0

    def whole_or_none():
        with contextlib.suppress(FileNotFoundError):  # no repository, or no files yet
            assert same(keras_crate.hub.pull(where))

    while kills < count:
        where = f"hf://writer/killed-{kills}"
        kills += killed(lambda where=where: publish(where), longest)
        in_fork(whole_or_none)
        if kills % 10 == 0:
            in_fork(lambda where=where: publish(where))
            check_same(lambda where=where: keras_crate.hub.pull(where))
    return kills


def pull(folder: Path, count: int) -> int:
    """Downloads into an empty cache, and again after the kill."""
    in_fork(lambda: publish("hf://writer/pulled"))
    cache = Path(os.environ["HF_HUB_CACHE"])

    def download():
        assert same(keras_crate.hub.pull("hf://writer/pulled"))

    longest = in_fork(download)
    kills = 0
    while kills < count:
        shutil.rmtree(cache, ignore_errors=True)
        kills += killed(download, longest)
        if kills % 5 == 0:
            in_fork(download)
    return kills


def together(folder: Path, count: int) -> int:
    """Processes pull one model into one empty cache at the same time."""
    in_fork(lambda: publish("hf://writer/together"))
    children = []
    for _ in range(count):
        children.append(os.fork())
        if children[-1] == 0:
            code = 1
            with contextlib.suppress(Exception):
                code = int(not same(keras_crate.hub.pull("hf://writer/together")))
            os._exit(code)
    return sum(os.waitpid(child, 0)[1] == 0 for child in children)


def cache(folder: Path, count: int) -> int:
    """The cache is removed under the process; then another user has it, who may only read."""
    in_fork(lambda: publish("hf://writer/cache"))
    where = Path(os.environ["HF_HUB_CACHE"])

    def removed():
        pulled = keras_crate.hub.pull("hf://writer/cache")
        shutil.rmtree(where)
        assert same(pulled) and same(keras_crate.hub.pull("hf://writer/cache"))

    for _ in range(count):
        in_fork(removed)
    survived = count
    for filled in (True, False):
        if not filled:
            shutil.rmtree(where)
            where.mkdir()
        for part in (where, *where.parents):
            if part != Path("/tmp") and part != Path("/"):
                part.chmod(0o755)
        child = os.fork()
        if child == 0:
            code = 3
            try:
                # This imports what `nobody` may not read.
                with contextlib.suppress(FileNotFoundError):
                    same(keras_crate.hub.pull(f"hf://writer/{'cache' if filled else 'missing'}"))
                os.setuid(65534)  # nobody
                code = int(not same(keras_crate.hub.pull("hf://writer/cache")))
            except OSError as error:
                code = 2 if "hf://writer/cache" in str(error) else 3
            finally:
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == (0 if filled else 2), (filled, status)
        survived += 1
    return survived


def threads(folder: Path, count: int) -> int:
    """Threads predict with one model."""
    model = trained()
    expected = model.predict(images, verbose=0)

    def predict(number: int) -> bool:
        some = images[number % 4 :]
        found = model.predict(some, batch_size=1 + number % 3, verbose=0)
        return np.allclose(found, expected[number % 4 :], atol=1e-6)

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(predict, range(count)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        done = globals()[sys.argv[1]](Path(temporary), int(sys.argv[2]))
        print(json.dumps({"kind": sys.argv[1], "survived": done}))
