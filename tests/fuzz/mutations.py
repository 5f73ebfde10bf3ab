"""Changes files at random: bytes, the members of archives, and the values of JSON."""

import io
import json
import random
import zipfile

_NUMBERS = (0, 1, -1, 2**15, 2**31 - 1, 2**32, 2**63, 10**9, 10**400, 12_000, 1e308, -0.0)
_VALUES = (
    None, True, "", "x", "\ud800", "../../x", [], {}, [[1]], {"a": [1]}, [None] * 3,
    float("nan"), float("inf"), *_NUMBERS,
)  # fmt: skip
_BYTES = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\xff" * 4,
    b"\0" * 8,
    b"\x7f" + b"\xff" * 7,
    b"[",
    b"{",
    b"9" * 9,
)
_DEPTH = 3000


def mutate(content: bytes, random: random.Random, kept: tuple[str, ...] = ()) -> bytes:
    """Returns a file with one to four changes.

    Args:
        content: The file. A zip archive is sometimes written again with a changed member, so that
            its checksums are right; JSON sometimes has another value.
        random: Where the changes come from.
        kept: Ends of the names of members that stay.
    """
    for _ in range(random.choice((1, 1, 2, 4))):
        content = _changed(content, random, kept)
    return content


def _changed(content: bytes, random: random.Random, kept: tuple[str, ...]) -> bytes:
    structured = random.random() < 0.6
    if structured and content[:2] == b"PK":
        try:
            return _archive(content, random, kept)
        except Exception:  # earlier changes broke the archive
            return _bytes(content, random)
    if structured and content[:1] in b"{[":
        try:
            return _json(content, random)
        except (ValueError, RecursionError):
            return _bytes(content, random)
    return _bytes(content, random)


def _bytes(content: bytes, random: random.Random) -> bytes:
    if not content:
        return random.choice(_BYTES)
    # Headers are at the start, or at the end, of most formats.
    place = min(int(len(content) * random.random() ** random.choice((1, 3, 6))), len(content) - 1)
    if random.random() < 0.2:
        place = len(content) - 1 - place
    length = random.choice((1, 1, 2, 4, 8, 64))
    before, after = content[:place], content[place:]
    # HDF5 knows its length, and refuses another one at once.
    kind = random.choice((0, 1, 4)) if content[:4] == b"\x89HDF" else random.randrange(6)
    if kind == 0:
        return before + bytes([after[0] ^ (1 << random.randrange(8))]) + after[1:]
    if kind == 1:
        new = random.choice(_BYTES)
        return before + new + after[len(new) :]
    if kind == 2:
        return before + after[length:]
    if kind == 3:
        return before + random.choice((random.choice(_BYTES), after[:length])) + after
    if kind == 4:
        number = random.choice((0, 1, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**62))
        new = number.to_bytes(8, "little")[: random.choice((1, 2, 4, 8))]
        return before + new + after[len(new) :]
    return before if random.random() < 0.2 else before + random.randbytes(length) + after[length:]


def _archive(content: bytes, random: random.Random, kept: tuple[str, ...]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in members if not name.endswith(kept or ("\0",))]
    name = random.choice(names or list(members))
    kind = random.randrange(8)
    if kind == 0 and name in names:
        del members[name]
    elif kind == 1:
        members[random.choice(("x", "x.npy", "a/data.pkl", "../x"))] = members[name]
    elif name in names:
        members[name] = _changed(members[name], random, kept)
    target = io.BytesIO()
    compression = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(target, "w", compression) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return target.getvalue()


def _json(content: bytes, random: random.Random) -> bytes:
    tree = {"": json.loads(content)}
    places: list = []

    def visit(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                visit(node[key])

    visit(tree)
    node, key = random.choice(places)
    kind = random.randrange(8)
    if kind == 0 and node is not tree:
        del node[key]
    elif kind == 1:
        other, place = random.choice(places)
        node[key] = json.loads(json.dumps(other[place]))
    elif kind == 2:
        node[key] = [node[key]]
    elif kind == 3 and isinstance(node, dict) and node is not tree:
        node[random.choice(("x", "class_name", "shape", "dim", ""))] = node.pop(key)
    else:
        node[key] = random.choice(_VALUES)
    text = json.dumps(tree.get(""))
    if random.random() < 0.01:
        text = text.replace("1", "[" * _DEPTH + "]" * _DEPTH, 1)
    return text.encode()
