"""Which processes of a training have ended, and which error says so."""

import pytest

from keras_crate.distributed.devices import Devices
from keras_crate.files import locked
from keras_crate.training.other_processes import others_watched


class Several(Devices):
    process, processes = 0, 4


def fail(folder, error):
    with others_watched(folder, Several()):
        raise error


def test_the_processes_that_have_ended_are_named(tmp_path):
    # Processes 1 and 2 hold their locks; 3 does not.
    lost = RuntimeError("connection closed")
    one = pytest.raises(ConnectionError, match="Process 3 of 4 has ended")
    with locked(tmp_path / "1", "held"), locked(tmp_path / "2", "held"), one:
        fail(tmp_path, lost)
    two = pytest.raises(ConnectionError, match="Processes 2, 3 of 4 have ended")
    with locked(tmp_path / "1", "held"), two:
        fail(tmp_path, lost)
    of_jax = ValueError("UNKNOWN: Gloo AllGather failed: Connection reset by peer")
    with locked(tmp_path / "1", "held"), locked(tmp_path / "2", "held"), one:
        fail(tmp_path, of_jax)


def test_an_error_of_this_process_is_not_explained(tmp_path):
    with pytest.raises(ValueError, match="own"):
        fail(tmp_path, ValueError("own"))
    held = [locked(tmp_path / str(k), "held") for k in (1, 2, 3)]
    with held[0], held[1], held[2], pytest.raises(RuntimeError, match="own"):
        fail(tmp_path, RuntimeError("own"))
