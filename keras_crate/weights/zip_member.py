"""Reads one file of a zip archive in place, without unpacking it."""

import contextlib
import io
import os
import struct
import zipfile
import zlib

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
    file = stack.enter_context(open(archive.filename, "rb"))
    file.seek(info.header_offset)
    name_length, extra_length = struct.unpack_from("<HH", file.read(_LOCAL_HEADER), 26)
    start = info.header_offset + _LOCAL_HEADER + name_length + extra_length
    section = Section(file, start, info.file_size)
    checksum, block = 0, memoryview(bytearray(_BLOCK))
    while count := section.readinto(block):
        checksum = zlib.crc32(block[:count], checksum)
    if checksum != info.CRC:
        raise zipfile.BadZipFile(f"{name} has another checksum than the archive states")
    section.seek(0)
    return section, archive.filename, start


class Section(io.RawIOBase):
    """A part of an open file, as a read-only file."""

    def __init__(self, file, start: int, size: int):
        super().__init__()
        self.file, self.start, self.size = file, start, size
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {0: 0, 1: self.position, 2: self.size}[whence]
        return self.position

    def readinto(self, buffer) -> int:
        self.file.seek(self.start + self.position)
        left = max(0, self.size - self.position)
        count = self.file.readinto(memoryview(buffer).cast("B")[:left])
        self.position += count
        return count
