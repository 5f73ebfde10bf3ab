"""Reads one file of a zip archive in place, without unpacking it."""

import contextlib
import io
import os
import struct
import zipfile

from keras_crate.files import scratch_folder
from keras_crate.weights.damaged import check_declared

_LOCAL_HEADER = 30  # bytes before the name; two lengths are at byte 26
_BLOCK = 1 << 20


def check_unpacked(archive: zipfile.ZipFile, origin: str) -> None:
    """Refuses an archive whose files would be far larger than itself."""
    unpacked = sum(info.file_size for info in archive.infolist())
    check_declared(origin, unpacked, os.path.getsize(archive.filename))


def open_member(archive: zipfile.ZipFile, name: str, stack: contextlib.ExitStack):
    """Opens a file of an archive so that any part of it can be read, and checks its checksum.

    Returns what `h5py.File` opens, the path of the file that holds the content, and the
    content's first byte in it. If the file is compressed, it is a copy.
    """
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        copy = archive.extract(name, stack.enter_context(scratch_folder()))
        return copy, copy, 0
    with archive.open(name) as content:  # which raises `BadZipFile` at its end
        while content.read(_BLOCK):
            pass
    with open(archive.filename, "rb") as file:
        file.seek(info.header_offset)
        lengths = struct.unpack_from("<HH", file.read(_LOCAL_HEADER), 26)
    start = info.header_offset + _LOCAL_HEADER + sum(lengths)  # those of name and extra fields
    section = stack.enter_context(Section(archive.filename, start, info.file_size))
    return section, archive.filename, start


class Section(io.FileIO):
    """A part of a file, as a read-only file."""

    def __init__(self, path, start: int, size: int):
        super().__init__(path)
        self.start, self.size = start, size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        places = {io.SEEK_SET: self.start, io.SEEK_END: self.start + self.size}
        return super().seek(places[whence] + offset) - self.start
