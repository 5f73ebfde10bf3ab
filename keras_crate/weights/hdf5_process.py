"""Reads HDF5 files of strangers in a process of its own, with bounded memory and time.

A hostile file can crash the HDF5 library, or keep it busy for ever. Here, such a file ends a
process that does nothing else. What that process could read is in a new file.
"""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from keras_crate.files import scratch_folder
from keras_crate.weights import hdf5
from keras_crate.weights.damaged import damaged, most_bytes

_BYTES_A_SECOND = 10_000_000  # a slow disk reads and writes more
_SECONDS = 10
_MEMORY = 1 << 30  # Python, NumPy and HDF5 take half of it


@contextlib.contextmanager
def clean_copy(path: Path, origin: str) -> Iterator[Path]:
    """Yields a copy of an HDF5 file that holds its groups, arrays and attributes, and no more.

    Args:
        path: The file, which this process does not open.
        origin: What to call the file in errors.

    Raises:
        Refused: If it cannot be read in bounded memory and time, or takes content from
            other files.
        DiskFull: If the copy has no space.
    """
    with scratch_folder() as folder:
        target = folder / path.name
        size = path.stat().st_size
        seconds = _SECONDS + size // _BYTES_A_SECOND
        limits = (_MEMORY + 3 * size, most_bytes(size), seconds)
        # No module of the current folder, and none beside the script, is imported.
        start = (
            f"import runpy, sys; sys.path[:] = {[p for p in sys.path if p]!r}; "
            f"runpy.run_path({hdf5.__file__!r}, run_name='__main__')"
        )
        arguments = map(str, (path.resolve(), target, origin, *limits))
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", start, *arguments],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=3 * seconds,
            )
            status, said = done.returncode, done.stderr.decode("utf8", "replace").strip()
        except subprocess.TimeoutExpired:
            status, said = 1, f"it was not read in {3 * seconds} seconds"
        if status == hdf5.REFUSED:
            raise hdf5.Refused(said)
        if os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if os.strerror(errno.EFBIG) in said:
            said = f"it unpacks to more than {most_bytes(size):,} bytes"
        if status:
            ended = f"the process that read it ended with status {status}"
            raise damaged(origin, said.splitlines()[-1][:200] if said else ended)
        yield target
