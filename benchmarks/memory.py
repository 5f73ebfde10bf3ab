"""Peak resident memory of this process."""

import contextlib
import platform
import resource
from collections.abc import Callable
from pathlib import Path


def peak_memory() -> float:
    """The peak so far, in MiB."""
    unit = 1024 if platform.system() == "Darwin" else 1  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / 1024


def peak_raised_by(call: Callable) -> float:
    """MiB by which a call raises the peak."""
    with contextlib.suppress(OSError):  # Linux can set the peak back to what is resident now
        Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    call()
    return peak_memory() - before
