import pytest

from keras_crate.files import git_id_of
from keras_crate.weights import hub_files
from keras_crate.weights.hub_errors import hub_errors
from keras_crate.weights.hub_files import download_model, parse_address

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    "address",
    [
        "hf://a/b--c",
        "hf://a/b.git",
        "hf://a/b c",
        "hf:/writer/a",
        "writer/a",
        "hf://writer",
        "hf://a/b/c",
        "hf://../x",
    ],
)
def test_addresses_that_are_not_valid(address):
    with pytest.raises(ValueError, match='"hf://user/repository@revision"'):
        parse_address(address)


def test_an_address_and_a_revision():
    assert parse_address("hf://a/b@").revision is None
    assert parse_address("hf://a/b.c-d@v1") == ("a/b.c-d", "v1")
    assert parse_address("hf://a/b", "v1") == parse_address("hf://a/b@v1", "v1")
    with pytest.raises(ValueError, match=r"name different revisions. Received: .*revision='v2'"):
        parse_address("hf://a/b@v1", "v2")


def test_a_hash_of_git(tmp_path):
    (tmp_path / "a").write_bytes(b"hello\n")
    # As `git hash-object` prints it.
    assert git_id_of(tmp_path / "a") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_an_asset_is_compared_with_its_hash_whatever_its_name(tmp_path, monkeypatch):
    blob, snapshot = tmp_path / ("0" * 64), tmp_path / "snapshot"
    (snapshot / "assets").mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    blob.write_text("of another hash")
    (snapshot / "assets/model.safetensors").symlink_to(blob)
    monkeypatch.setattr(hub_files, "_fetch", lambda _, name, **options: snapshot / name)
    monkeypatch.setattr(hub_files, "in_cache", lambda *_: True)
    with pytest.raises(ValueError, match=r"assets/model.safetensors of .* is not what the Hub"):
        download_model(parse_address("hf://a/b"))


def test_a_package_that_is_missing_is_not_told_as_an_answer_of_the_hub():
    said = "Using SOCKS proxy, but the 'socksio' package is not installed"  # httpx says so
    with pytest.raises(ImportError, match=said), hub_errors("hf://a/b", "The download failed"):
        raise ImportError(said)
