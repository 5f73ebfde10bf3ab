"""Names the processes of a run that have ended, if training fails in another."""

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from keras_crate.distributed.devices import Devices
from keras_crate.files import locked


@contextlib.contextmanager
def others_watched(folder: Path, devices: Devices) -> Iterator[None]:
    """If training fails, raises an error that names the other processes that have ended.

    Each process locks a file of its own in the `with` statement, until it ends. The engines
    of the backends report a lost connection only, without a process.
    """
    if devices.processes == 1:
        shutil.rmtree(folder, ignore_errors=True)  # of a run on several that was interrupted
        yield
        return
    folder.mkdir(exist_ok=True)
    own = f"Process {devices.process} of this run is already running. Wait until it ends."
    with locked(folder / str(devices.process), own):
        try:
            devices.wait()
            yield
            devices.wait()
        except Exception as error:
            # JAX also reports a lost connection as a ValueError: by a status and its message.
            of_engine = re.match("(UNKNOWN|UNAVAILABLE|ABORTED|INTERNAL): ", str(error))
            if isinstance(error, (ValueError, OSError)) and not of_engine:
                raise  # of this process
            ended = _ended(folder, devices)
            if not ended:
                raise
            which = "Process {} of {} has" if len(ended) == 1 else "Processes {} of {} have"
            which = which.format(", ".join(map(str, ended)), devices.processes)
            raise ConnectionError(
                f"{which} ended before the others. See the output there.\n"
                "Start all processes again to resume the run after its last epoch."
            ) from error
    if devices.is_writer:
        shutil.rmtree(folder, ignore_errors=True)


def _ended(folder: Path, devices: Devices) -> list[int]:
    """The numbers of the other processes that have ended. It waits for 3 s for the first."""
    others = [k for k in range(devices.processes) if k != devices.process]
    for _ in range(30):
        ended = [k for k in others if _is_free(folder / str(k))]
        if ended:
            return ended
        time.sleep(0.1)
    return []


def _is_free(file: Path) -> bool:
    try:
        with locked(file, "held"):
            return True
    except ValueError:
        return False
