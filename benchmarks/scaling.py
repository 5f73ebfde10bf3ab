"""Estimates a training step on many chips by formulas: memory, bytes sent, efficiency.

    python benchmarks/scaling.py --sizes CRATELarge --chips 256 --batch 4096

Two layouts are compared: `data`, where every chip has all weights, and `model:N`, where groups of
N chips divide the operators' weights (`keras_crate.training.layout_map`). The counts of `BLOCKS`
are those of the training steps that XLA compiles, which `compiled_step.py` reads.
`tests/benchmarks/test_scaling.py` compares formulas and compiled steps.

The efficiency is the computing time, divided by the sum of computing and sending time. Engines can
send while they compute, which increases the efficiency. Latencies, input and uneven work are left
out.
"""

import argparse
from typing import NamedTuple

from multiplications import SIDE, of_size

from keras_crate.weights.sizes import SIZES, family_of

FLOAT32, BFLOAT16 = 4, 2  # bytes
PASSES = 3  # of a training step, in forward passes: see multiplications.py
SLOTS = {"lion": 1, "adamw": 2}


class Block(NamedTuple):
    """Counts of one block.

    Attributes:
        matrices: Matrices of d x d that `layout_map` divides.
        repeated: Further gradients of d x d that are sent, because a weight is used more than
            once.
        kept: Numbers kept for the gradient on every chip of a group, in units of n x d.
        divided: Numbers kept for the gradient that a group divides, in units of n x d. A group
            also divides the heads x n x n scores.
        reduced: All-reduces of the tokens within a group, forward and backward.
        gathered: All-gathers of the tokens within a group.
        weights: All-gathers of matrices of d x d within a group.
    """

    matrices: int
    repeated: int
    kept: int
    divided: int
    reduced: int
    gathered: int
    weights: int


BLOCKS = {
    "CRATE": Block(3, 0, 3, 9, 3, 3, 2),
    "CRATEAlpha": Block(10, 8, 10, 19, 6, 0, 0),
}
REMATERIALISED = 8  # numbers kept in a block with `rematerialise`, in units of n x d


class Chip(NamedTuple):
    """A chip's peak, from its maker's data sheet.

    Attributes:
        flops: bfloat16 operations per second, dense.
        memory: Bytes.
        between: Bytes per second that a chip sends in a ring of all chips.
        within: Bytes per second that a chip sends in a ring of a group of `model:N`.
        source: Where the numbers are from.
    """

    flops: float
    memory: float
    between: float
    within: float
    source: str


CHIPS = {
    # 8 GPUs per machine: NVLink within it, 8 adapters of 400 Gbit/s between machines.
    "H100 SXM": Chip(989e12, 80e9, 400e9, 450e9, "https://www.nvidia.com/en-us/data-center/h100/"),
    # 400 GB/s in both directions over 4 ports, in a 2D torus. A group lies along one axis.
    "TPU v5e": Chip(197e12, 16e9, 200e9, 100e9, "https://cloud.google.com/tpu/docs/v5e"),
}


class Network(NamedTuple):
    """What the formulas need of a model."""

    family: str
    dim: int
    depth: int
    heads: int
    tokens: int
    parameters: int

    @property
    def block(self) -> Block:
        return BLOCKS[self.family]

    def matrices(self, number: int) -> int:
        """Numbers in `number` matrices of d x d per block."""
        return number * self.depth * self.dim**2


def network(size: str) -> Network:
    """The model of a published size, at its own patch."""
    dim, depth, heads, patch, parameters = SIZES[size]
    tokens = (SIDE // patch) ** 2 + 1
    return Network(family_of(size), dim, depth, heads, tokens, parameters)


def weights_of_chip(net: Network, parts: int = 1) -> float:
    """Parameters on one chip, if groups of `parts` chips divide the operators' weights."""
    divided = net.matrices(net.block.matrices)
    return net.parameters - divided + divided / parts


def state_bytes(net: Network, parts: int = 1, slots: int = 1, ema: bool = False) -> float:
    """Weights, the optimizer's slots and the weights' moving average, in float32."""
    return FLOAT32 * (1 + slots + ema) * weights_of_chip(net, parts)


def step_bytes(net: Network, parts: int = 1, number: int = BFLOAT16) -> float:
    """Gradients in float32, and the weights' copy if the compute dtype is not float32."""
    copy = number if number != FLOAT32 else 0
    return (FLOAT32 + copy) * weights_of_chip(net, parts)


def kept_bytes(net: Network, images: float, parts: int = 1, number: int = BFLOAT16) -> float:
    """Activations that one chip keeps for the gradient.

    Args:
        net: The model.
        images: Images of the chip's group.
        parts: Chips of a group.
        number: Bytes of a number.
    """
    grid, scores = net.tokens * net.dim, net.heads * net.tokens**2
    block = net.block.kept * grid + (net.block.divided * grid + scores) / parts
    return number * images * net.depth * block


def rematerialised_bytes(net: Network, images: float, number: int = BFLOAT16) -> float:
    """As `kept_bytes` with `rematerialise=True`, for `data`. One block at a time is recomputed."""
    grid = net.tokens * net.dim
    one_block = kept_bytes(net, images, number=number) / net.depth
    return number * images * net.depth * REMATERIALISED * grid + one_block


def gradient_bytes(net: Network, parts: int = 1) -> float:
    """Bytes that chips with the same weights all-reduce in a step: gradients in float32."""
    repeated = net.matrices(net.block.repeated)
    return FLOAT32 * (weights_of_chip(net, parts) + repeated / parts)


def reduced_bytes(net: Network, images: float, number: int = BFLOAT16) -> float:
    """Bytes of tokens that a group of `model:N` all-reduces in a step."""
    return number * images * net.depth * net.block.reduced * net.tokens * net.dim


def gathered_bytes(net: Network, images: float, number: int = BFLOAT16) -> float:
    """Bytes of tokens and weights that a group of `model:N` all-gathers in a step."""
    tokens = net.depth * net.block.gathered * net.tokens * net.dim
    return number * (images * tokens + net.matrices(net.block.weights))


def ring(chips: int) -> float:
    """Share of an all-gather's result that each chip sends. An all-reduce sends twice that."""
    return (chips - 1) / chips


class Step(NamedTuple):
    """One training step on one chip: bytes, seconds and the expected efficiency."""

    images: float
    state: float
    step: float
    kept: int
    rematerialised: float | None
    sent: float
    computing: float
    sending: float

    @property
    def efficiency(self) -> float:
        return self.computing / (self.computing + self.sending)


def training_step(
    size: str, chip: Chip, chips: int, batch: int, parts: int = 1, slots: int = 1,
    ema: bool = False, share: float = 0.5,
) -> Step:  # fmt: skip
    """Applies the formulas to a published size in mixed bfloat16.

    Args:
        size: Constructor's name.
        chip: One of `CHIPS`.
        chips: Number of chips.
        batch: Images per step, on all chips.
        parts: Chips of a group that divides the weights; 1 is the layout `data`.
        slots: Numbers that the optimizer keeps per weight.
        ema: Whether the weights' moving average is kept.
        share: Share of the chip's peak that computing reaches.
    """
    net = network(size)
    images = batch * parts / chips  # of a group
    between = 2 * ring(chips // parts) * gradient_bytes(net, parts)
    within = 0.0
    if parts > 1:
        tokens = 2 * reduced_bytes(net, images) + gathered_bytes(net, images)
        within = ring(parts) * tokens
    operations = 2 * PASSES * of_size(size) * batch / chips
    return Step(
        images=batch / chips,
        state=state_bytes(net, parts, slots, ema),
        step=step_bytes(net, parts),
        kept=kept_bytes(net, images, parts),
        rematerialised=rematerialised_bytes(net, images) if parts == 1 else None,
        sent=between + within,
        computing=operations / (chip.flops * share),
        sending=between / chip.between + within / chip.within,
    )


def table(
    sizes=("CRATELarge", "CRATEAlphaLarge"), layouts=(1, 8), chips: int = 256, batch: int = 4096,
    share: float = 0.5,
) -> str:  # fmt: skip
    """The table of docs/scaling.md, in Markdown. `layouts` has the N of `model:N`; 1 is `data`."""
    optimizers = {"CRATE": "lion", "CRATEAlpha": "adamw"}
    head = (
        "size, optimizer", "chips", "layout", "weights, slots",
        "gradients, bfloat16 weights", "activations",
        "rematerialised", "sent per step", "computing", "sending", "efficiency",
    )  # fmt: skip
    rows = [head, ("---",) * 3 + ("---:",) * 8]
    for size in sizes:
        optimizer = optimizers[family_of(size)]
        for name, chip in CHIPS.items():
            for parts in layouts:
                step = training_step(size, chip, chips, batch, parts, SLOTS[optimizer], share=share)
                gigabytes = (step.state, step.step, step.kept, step.rematerialised, step.sent)
                rows.append(
                    (
                        f"`{size}`, {optimizer}",
                        name,
                        "`data`" if parts == 1 else f"`model:{parts}`",
                        *(
                            "-" if value is None else f"{1e-9 * value:.2f} GB"
                            for value in gigabytes
                        ),
                        f"{1e3 * step.computing:.1f} ms",
                        f"{1e3 * step.sending:.1f} ms",
                        f"{step.efficiency:.0%}",
                    )
                )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [size for size in SIZES if family_of(size) in BLOCKS]
    parser.add_argument("--sizes", nargs="+", choices=known, default=known, metavar="SIZE",
                        help=f"of {', '.join(known)} (all)")  # fmt: skip
    parser.add_argument("--layouts", nargs="+", type=int, default=(1, 8), metavar="N",
                        help="N of model:N; 1 is data (1 8)")  # fmt: skip
    parser.add_argument("--chips", type=int, default=256, help="number of chips (%(default)s)")
    parser.add_argument("--batch", type=int, default=4096, help="images per step (%(default)s)")
    parser.add_argument("--share", type=float, default=0.5,
                        help="share of its peak that a chip reaches (%(default)s)")  # fmt: skip
    arguments = parser.parse_args(words)
    print(table(**vars(arguments)))


if __name__ == "__main__":
    main()
