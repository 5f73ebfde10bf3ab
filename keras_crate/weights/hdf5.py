"""What is read of an HDF5 file. As a script, it writes this to a new file.

`clean_copy` runs the script in a process of its own. So nothing of the package is imported here.
"""

import contextlib
import sys
from collections.abc import Iterator

import h5py

REFUSED = 3  # exit status of the script


class Refused(ValueError):
    """A file that is refused for a reason of ours. The message has the file's name."""


def hard_linked(group: h5py.Group, origin: str) -> Iterator:
    """Yields the groups and arrays in a group.

    Args:
        group: A group of an open file.
        origin: What to call the file in errors.

    Raises:
        Refused: If one is a link to another file or place, or an array is not stored
            in this file: it is external or virtual, or was declared and never written.
    """
    for name in group:
        is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
        item = group[name] if is_hard else None
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            item = None
        if item is None:
            raise Refused(
                f"{origin} takes weights from another file or place ({name}). Nothing was loaded."
            )
        if isinstance(item, h5py.Dataset) and item.nbytes and not item.id.get_storage_size():
            raise Refused(
                f"{origin} declares an array that it does not hold ({item.name}, shape "
                f"{item.shape}). Nothing was loaded."
            )
        yield item


def _copy(old: h5py.Group, new: h5py.Group, origin: str, seen: set) -> None:
    for name, value in old.attrs.items():
        new.attrs[name] = value
    for item in hard_linked(old, origin):
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            raise Refused(f"{origin} has two names for one array or group. Nothing was loaded.")
        seen.add(place)
        name = item.name.rpartition("/")[2]
        if isinstance(item, h5py.Group):
            _copy(item, new.create_group(name), origin, seen)
        else:
            copy = new.create_dataset(name, data=item[()], dtype=item.dtype)
            copy.attrs.update(item.attrs)


def _bound_this_process(memory: int, file: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows; the parent's limit of time holds there too
        return
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        # A lower limit is in force, or the system does not have this one: macOS refuses RLIMIT_AS.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


def _main(source: str, target: str, origin: str, *limits: str) -> None:
    _bound_this_process(*map(int, limits))
    try:
        with h5py.File(source, "r") as old, h5py.File(target, "w", libver=("v110", "v110")) as new:
            _copy(old, new, origin, set())
    except Refused as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)


if __name__ == "__main__":
    _main(*sys.argv[1:])
