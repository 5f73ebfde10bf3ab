"""The reader of JSON, TOML and text, on content that a stranger or a fault has written."""

import resource

import pytest

from keras_crate.reading import MOST_BYTES, parse_value, read_json, read_text, read_toml

pytestmark = pytest.mark.any_backend
DEEP = 100_000


def refused(read, content, tmp_path, *arguments, **named) -> str:
    """Returns the error, which names the file."""
    file = tmp_path / "strange.file"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^.*strange\.file ") as caught:
        read(file, *arguments, **named)
    assert str(caught.value).count("\n") < 4
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"<html>", "Expecting value"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b"[" * DEEP, "nested more than 64 levels"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "nested more than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested more than 64 levels"),
        (b'{"a": ' + b"9" * 400 + b"}", "more than 64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"[1]", "must hold values by name. Received: list"),
        (b"null", "must hold values by name. Received: nothing"),
        (b" " * MOST_BYTES + b"{}", "more than 8,388,608 bytes"),
    ],
)
def test_json_that_is_refused(content, message, tmp_path):
    assert message in refused(read_json, content, tmp_path)


def test_what_json_must_have(tmp_path):
    has = {"epochs": int, "name": str}
    error = refused(read_json, b'{"epochs": 1, "name": 2}', tmp_path, has=has)
    assert "must hold text under 'name'. Received: int" in error
    error = refused(read_json, b'{"name": ""}', tmp_path, has=has)
    assert "must hold an integer under 'epochs'. Received: nothing" in error
    assert "must hold a list. Received: dict" in refused(read_json, b"{}", tmp_path, list)
    file = tmp_path / "good.json"
    file.write_bytes(b'\xef\xbb\xbf{"epochs": 18446744073709551615, "name": "\xc3\xa9"}')
    assert read_json(file, has=has) == {"epochs": 2**64 - 1, "name": "é"}  # with a mark of UTF-8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = \xff", "can't decode byte 0xff"),
        (b"a = " + b"[" * 60_000, "nested more than 64 levels"),
        (b"a = " + b"9" * 400, "more than 64 bits"),
        (b".".join([b"a"] * 20_000) + b" = 1", "a line has more than 100 dots"),
        (b".".join([b'"\xe2\x80\xa8"'] * 5_000) + b" = 1", "a line has more than 100 dots"),
        (b"#" * 70_000, "more than 65,536 bytes"),
    ],
)
def test_toml_that_is_refused(content, message, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert message in refused(read_toml, content, tmp_path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kB; 20,000 dots took 1.4 GB


def test_text_that_is_refused(tmp_path):
    assert "can't decode byte 0xff" in refused(read_text, b"\xff", tmp_path)
    assert "more than 3 bytes" in refused(read_text, b"four", tmp_path, most=3)
    with pytest.raises(ValueError, match="/dev/zero cannot be read: it has more than"):
        read_text("/dev/zero")


def test_values_of_a_command_line():
    for text, value in (("0.5", 0.5), ("[2, 14]", [2, 14]), ("true", True), ("lion", "lion")):
        assert parse_value("x", text) == value
    for text in ("[" * DEEP, "[2, 14", '{"a": 1e', f"[{'9' * 400}]"):
        with pytest.raises(ValueError, match="The value of x cannot be read"):
            parse_value("x", text)
