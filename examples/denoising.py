"""Denoises a mixture of Gaussians by MSSA steps with known subspaces.

    python examples/denoising.py denoising.png

Runs CRATE's compression step as the paper derives it (arXiv:2306.01129, section
2.3): the tokens lie near K orthogonal subspaces, and each step computes
Z <- (1 - step) Z + step MSSA(Z) with the bases of these subspaces. In the paper,
step = kappa p / (n eps^2).

The layer divides its scores by sqrt(p), and the paper's formula does not. Over many
tokens of one Gaussian, a head therefore multiplies coordinates by
variance / sqrt(p). The tokens' variance within their subspace is sqrt(p) here, so
that the signal stays and weaker noise shrinks. After many more steps, all tokens
move towards the outermost ones of any subspace, and distance and R^c rise again.
"""

import argparse

from keras_crate.layers import MSSA
from keras_crate.objective import subspace_coding_rate
import keras
import numpy as np


def random_bases(rng, subspaces, p):
    """Orthonormal bases (K, d, p) of orthogonal subspaces, which fill d = K p."""
    d = subspaces * p
    directions, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return directions.reshape(d, subspaces, p).transpose(1, 0, 2)


def mixture(rng, bases, tokens):
    """Noise-free tokens (n, d), equally many from each subspace, and their subspaces' indices."""
    members = np.arange(tokens) % len(bases)
    coordinates = rng.normal(size=(tokens, bases.shape[2])) * bases.shape[2] ** 0.25
    return np.einsum("np,ndp->nd", coordinates, bases[members]), members


def denoise(tokens, bases, steps=12, step=0.12):
    """The tokens before the first step and after each, (steps + 1, n, d)."""
    matrix = np.concatenate(list(bases), axis=1)  # [U_1 ... U_K]
    mssa = MSSA(heads=len(bases), use_bias=False)
    mssa.build((1, *tokens.shape))
    mssa.subspaces.kernel.assign(matrix)
    mssa.output_projection.kernel.assign(matrix.T)
    history = [tokens]
    for _ in range(steps):
        update = keras.ops.convert_to_numpy(mssa(history[-1][None].astype("float32")))[0]
        history.append((1 - step) * history[-1] + step * update)
    return np.stack(history)


def measure(history, bases, members):
    """Distance of each token to its subspace, its length within it, and R^c."""
    own = np.einsum("snd,ndp->snp", history, bases[members])
    outside = history - np.einsum("snp,ndp->snd", own, bases[members])
    return {
        "distance": np.linalg.norm(outside, axis=-1),
        "length": np.linalg.norm(own, axis=-1),
        "rate": subspace_coding_rate(history, bases, eps=0.5, convention="paper"),
    }


def plot(measured, clean_rate, path):
    """Plots the distance and length of the tokens, and the rate, at each step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = np.arange(len(measured["rate"]))
    names = {"distance": "distance to own subspace", "length": "length within it"}
    for key, colour in (("distance", "C0"), ("length", "0.5")):
        low, high = np.percentile(measured[key], (10, 90), axis=1)
        left.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        left.plot(steps, measured[key].mean(axis=1), "o-", ms=3, color=colour, label=names[key])
    left.set(xlabel="MSSA steps", ylabel="mean over tokens, band 10 to 90 %", ylim=0)
    left.legend(frameon=False, loc="lower left")
    right.plot(steps, measured["rate"], "o-", ms=3, color="C1")
    right.axhline(clean_rate, color="0.5", ls="--", lw=1, label="tokens without noise")
    right.set(xlabel="MSSA steps", ylabel=r"$R^c(Z \mid U_1, \dots, U_K)$ in nats")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    """Makes the tokens, denoises them, prints and plots the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", help="file for the figure (.png)")
    parser.add_argument("--steps", type=int, default=12, help="(%(default)s)")
    parser.add_argument(
        "--noise", type=float, default=0.5, help="standard deviation of the noise (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    bases = random_bases(rng, subspaces=8, p=16)
    clean, members = mixture(rng, bases, tokens=1024)
    noisy = clean + arguments.noise * rng.normal(size=clean.shape)
    measured = measure(denoise(noisy, bases, arguments.steps), bases, members)
    print("step  distance  length within     R^c")
    for step, rate in enumerate(measured["rate"]):
        distance, length = (measured[key][step].mean() for key in ("distance", "length"))
        print(f"{step:>4}  {distance:>8.3f}  {length:>13.3f}  {rate:>6.2f}")
    plot(measured, subspace_coding_rate(clean, bases, eps=0.5), arguments.output)
    print("wrote", arguments.output)


if __name__ == "__main__":
    main()
