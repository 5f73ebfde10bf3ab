"""examples/denoising.py: MSSA's steps with the true bases take the noise off."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from example_modules import EXAMPLES, example_module

pytestmark = pytest.mark.any_backend

SCRIPT = EXAMPLES / "denoising.py"


@pytest.fixture(scope="module")
def denoising():
    return example_module("denoising")


@pytest.fixture(scope="module")
def drawn(denoising):
    """Noisy tokens, the true bases, and which subspace each token is from."""
    rng = np.random.default_rng(0)
    bases = denoising.random_bases(rng, subspaces=8, p=8)
    clean, members = denoising.mixture(rng, bases, tokens=256)
    return clean + 0.5 * rng.normal(size=clean.shape), bases, members


def _means(denoising, drawn, bases=None, **options):
    tokens, true_bases, members = drawn
    history = denoising.denoise(tokens, true_bases if bases is None else bases, **options)
    measured = denoising.measure(history, true_bases, members)
    return (*(measured[key].mean(axis=1) for key in ("distance", "length")), measured["rate"])


def test_what_is_drawn(denoising, drawn):
    tokens, bases, members = drawn
    flat = np.concatenate(list(bases), axis=1)
    np.testing.assert_allclose(flat.T @ flat, np.eye(64), atol=1e-12)
    clean, _ = denoising.mixture(np.random.default_rng(1), bases, tokens=4000)
    own = denoising.measure(clean[None], bases, np.arange(4000) % 8)
    assert own["distance"].max() < 1e-12
    np.testing.assert_allclose((own["length"] ** 2).mean(), 8 * np.sqrt(8), rtol=0.05)
    # Noise of deviation 0.5 in the 56 directions outside each token's subspace.
    noisy = denoising.measure(tokens[None], bases, members)
    np.testing.assert_allclose((noisy["distance"] ** 2).mean(), 56 * 0.25, rtol=0.05)


def test_distance_and_coding_rate_fall_at_every_step(denoising, drawn):
    distance, length, rate = _means(denoising, drawn)
    assert len(distance) == len(rate) == 13
    assert (np.diff(distance) < -0.01 * distance[0]).all()
    assert (np.diff(rate) < -0.01 * rate[0]).all()
    assert distance[-1] < 0.5 * distance[0]
    assert rate[-1] < 0.85 * rate[0]
    assert length[-1] > 0.75 * length[0]  # it is not that all shrinks


def test_a_step_is_the_papers(denoising, drawn):
    """Scores over sqrt(p) apart: in NumPy, subspace by subspace."""
    tokens, bases, _ = drawn
    update = 0
    for u in bases:
        w = tokens @ u
        scores = np.exp(w @ w.T / np.sqrt(8))
        update += scores / scores.sum(axis=1, keepdims=True) @ w @ u.T
    expected = 0.7 * tokens + 0.3 * update
    history = denoising.denoise(tokens, bases, steps=1, step=0.3)
    np.testing.assert_allclose(history[1], expected, atol=1e-4)


def test_no_steps_change_nothing(denoising, drawn):
    history = denoising.denoise(drawn[0], drawn[1], steps=0)
    np.testing.assert_array_equal(history, drawn[0][None])


def test_wrong_bases_do_not_denoise(denoising, drawn):
    """All shrinks alike: the angle to the own subspace stays."""
    wrong = denoising.random_bases(np.random.default_rng(1), subspaces=8, p=8)
    distance, length, _ = _means(denoising, drawn, wrong)
    slope = distance / length
    assert slope[-1] > 0.9 * slope[0]
    distance, length, _ = _means(denoising, drawn)
    slope = distance / length
    assert slope[-1] < 0.6 * slope[0]


def test_the_script(tmp_path):
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "denoising.png", "--steps", "3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+) +([\d.]+)$", result.stdout, re.MULTILINE)
    table = np.array(rows, float)
    assert table[:, 0].tolist() == [0, 1, 2, 3]
    assert (np.diff(table[:, 1]) < 0).all() and (np.diff(table[:, 3]) < 0).all()
    assert (tmp_path / "denoising.png").read_bytes().startswith(b"\x89PNG")
