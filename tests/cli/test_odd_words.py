"""Command lines that once ended in a traceback, took gigabytes, or never ended."""

import pytest
from large_pictures import large_png

from keras_crate_cli import main

pytestmark = pytest.mark.any_backend
NEW = ("pretrain", "crate:16x1x2", "--recipe", "small-images", "--output", "run")


@pytest.fixture(autouse=True)
def here(model_file, folder, tmp_path, monkeypatch):
    """The current folder has a model, a folder of two images, and files that are not recipes."""
    (tmp_path / "m.keras").write_bytes(model_file.read_bytes())
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.json").write_bytes(b'{"description": "\xe9"}')
    (tmp_path / "dots.toml").write_text(".".join("a" * 20_000) + " = 1")
    (folder / "2-broken.png").unlink()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=1e400", "`epochs` must be a positive integer. Received: epochs=inf"),
        ("epochs=1000000000", "`epochs` must be at most 100,000"),
        ("epochs=" + "9" * 400, "`epochs` must be a positive integer"),
        ("epochs=[[1]]", "`epochs` must be a positive integer. Received: epochs=([1],)"),
        ("no_decay=[[1]]", "`no_decay` must be a list"),
        ("head_epochs=[[1]]", "`head_epochs` must be"),
        ("learning_rate=" + "[" * 100_000, "value of learning_rate cannot be read: it is nested"),
        ("learning_rate=1e300", "`learning_rate` must be at most 1,000"),
        ("batch_size=9999999999", "`batch_size` must be a positive integer of at most"),
        ("image_size=1000000", "`image_size` must be a positive integer of at most 9,459"),
        ("crop_ratio=[1e-300,1]", "`crop_ratio` must be a pair (lowest, highest) in [1/100, 100]"),
        ("crop_area=[1e-300,1]", "`crop_area` must be None, or a pair (lowest, highest) in"),
        ("evaluation_crop=0.0001", '`evaluation_crop` must be in [0.1, 1] or "whole"'),
        ("rand_augment=[1000000,30]", "a pair (operations in [1, 14], magnitude in [0, 30])"),
        ("shift=1000000000", "`shift` must be an integer in [0, 256]"),
    ],
    ids=lambda text: text[:20],
)
def test_settings(setting, message, refused):
    assert message in refused(*NEW, "--data", "digits", "--set", setting)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pretrain tiny --data digits --recipe deep.json", "cannot be read: it is nested more"),
        ("pretrain tiny --data digits --recipe latin.json", "latin.json cannot be read: 'utf-8'"),
        ("pretrain tiny --data digits --recipe dots.toml", "a line has more than 100 dots"),
        ("pretrain crate:9999999999x1x1 --data digits", "`dim` must be a positive integer of at"),
        ("predict {long} images", "There is no model file aaa"),
        ("predict m.keras {long}", "There is no file or folder aaa"),
        ("predict m.keras images --resize 1000000", "`resize` must be None, a positive integer of"),
        ("predict m.keras images --top 99999999999", "`top` must be a positive integer of at most"),
        ("evaluate m.keras {long}", "There is no data set and no folder 'aaa"),
        ("look m.keras images --size 1000000", "of at most 89,478,485 pixels"),
        ("finetune --weights {long} --data digits", "There is no model file aaa"),
        ("convert {long} out.keras", "There is no weights file at aaa"),
        ("convert m.keras {long}.pth", "File name too long"),
        ("verify {long}", "There is no variant of this name"),
        ("predict mnst images", "Did you mean 'mnist'"),
    ],
)  # fmt: skip
def test_words(words, message, refused):
    assert message in refused(*words.format(long="a" * 300).split())


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_would_take_gigabytes(folder, capsys):
    (folder / "large.png").write_bytes(large_png())
    for command in ("predict", "look"):
        assert main([command, "m.keras", "images"]) == 1
        error = capsys.readouterr().err
        assert "large.png: it has 13,300 x 13,300 pixels, and at most 89,478,485" in error
