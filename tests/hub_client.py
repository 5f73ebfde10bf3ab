"""A process with the unmodified Hub client, which the tests tell what to do.

The client reads its settings when it is imported, so each set of them needs a
process; importing Keras takes seconds, so a process serves many tests.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

_WORKER = """
import json, sys, time, warnings
answers, sys.stdout = sys.stdout, sys.stderr
time.sleep = lambda seconds: None  # the client waits between its retries
import numpy as np
import keras
import keras_crate
names = {"np": np, "keras": keras, "keras_crate": keras_crate}
print(json.dumps({"ready": True}), file=answers, flush=True)
for line in sys.stdin:
    task = json.loads(line)
    answer = {}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            names.update(task["variables"], result=None)
            exec(task["code"], names)
            answer["result"] = names["result"]
        except Exception as error:
            answer["error"] = [type(error).__name__, str(error)]
    answer["warnings"] = [str(w.message) for w in told if w.category is UserWarning]
    print(json.dumps(answer, default=lambda o: np.asarray(o).tolist()), file=answers, flush=True)
"""


# A small model, as if trained, and images for it.
MODELS = """
def trained(seed=0, **options):
    keras.utils.set_random_seed(seed)
    small = dict(input_shape=(16, 16, 3), patch_size=8, classes=3, class_names=["cat", "dog", "?"])
    model = keras_crate.CRATE(24, 2, 2, **{**small, **options})
    for layer in model.layers:
        if "norm" in layer.name:
            layer.gamma.assign(np.linspace(0.5, 1.5, layer.gamma.shape[0]))
    return model

images = np.random.default_rng(1).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
"""


class ClientError(Exception):
    """What was raised in the process; `kind` is the name of its class."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class HubClient:
    """One process. `output` is what it has printed, errors of the interpreter too."""

    def __init__(self, hub, home: Path, token: str | None = "hf_writer", **environment: str):
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.log = home, home / "printed.txt"
        self._printed = self.log.open("a", encoding="utf8")
        self.warnings: list[str] = []
        own = {"PYTHONWARNINGS": "ignore"}
        own |= hub.environment(home / "hf", token)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            text=True,
            env={**os.environ, **own, **environment},
        )
        self._started = False

    def tell(self, code: str, **variables) -> None:
        """Starts some code, which leaves what it finds in `result`."""
        task = json.dumps({"code": code, "variables": variables}, default=str)
        self._process.stdin.write(task + "\n")
        self._process.stdin.flush()

    def answer(self):
        """What the code left in `result`; its warnings are in `warnings`."""
        if not self._started:
            self._started = json.loads(self._line())["ready"]
        answer = json.loads(self._line())
        self.warnings = answer["warnings"]
        if "error" in answer:
            raise ClientError(*answer["error"])
        return answer["result"]

    def __call__(self, code: str, **variables):
        self.tell(code, **variables)
        return self.answer()

    @property
    def printed(self) -> str:
        return self.log.read_text("utf8")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "HubClient":
        return self

    def __exit__(self, *_) -> None:
        self.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._printed.close()

    def _line(self) -> str:
        line = self._process.stdout.readline()
        assert line, f"the process ended: {self.printed[-2000:]}"
        return line
