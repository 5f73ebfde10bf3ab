"""What was measured, as JSON, as a Markdown table and as a picture."""

import json
from pathlib import Path

from keras_crate.benchmark.peers import BASES, EAGER, VIT

from keras_crate.figure import new_figure

# One colour each in all panels.
COLOURS = {"CRATE-B fused": "C0", "CRATE-B": "C1", VIT: "C2", EAGER: "C3"}


def write(results: dict, folder: str | Path) -> list[Path]:
    """Writes `peers_<backend>_<policy>.json`, `.md` and `.png`.

    Args:
        results: What `peers.run` returned.
        folder: Where to; it is made.

    Returns:
        The paths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    where = results["machine"]["backend"]
    if results["machine"]["accelerator"]:
        where += "_" + results["machine"]["accelerator"].replace(" ", "-")
    path = folder / f"peers_{where}_{results['policy']}"
    paths = [path.with_name(path.name + ending) for ending in (".json", ".md", ".png")]
    paths[0].write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
    paths[1].write_text(markdown(results), encoding="utf8")
    figure(results).savefig(paths[2], dpi=150)
    return paths


def markdown(results: dict) -> str:
    """The numbers as tables."""
    machine = results["machine"]
    device = machine["accelerator"] or f"{machine['processor']}, {machine['cores']} cores"
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    lines = [
        f"# CRATE-B beside its peers: {machine['backend']}, {results['policy']}",
        "",
        f"{device}; {machine['date']}; {versions}. Ratios of time are medians over rounds in "
        "which all run in turns; below 1, CRATE is faster.",
        "",
    ]
    for task, base in BASES.items():
        rows = [r for r in results["comparisons"] if r["task"] == task]
        if not rows:
            continue
        others = list(rows[0]["ratios"])
        lines += [
            f"## {task}: {base}",
            "",
            "| batch | images/s | share of matrix rate | first step (s) | "
            + " | ".join(f"time / {name}" for name in others)
            + f" | share, {VIT} | first step, {VIT} (s) |",
            "| --- " * (6 + len(others)) + "|",
        ]
        for row in rows:
            share, first = row["share_of_matrix_rate"], row["first_step_seconds"]
            cells = [
                str(row["batch"]),
                f"{row['batch'] / row['seconds'][base]:.2f}",
                f"{share[base]:.0%}",
                f"{first[base]:.1f}",
                *(f"{row['ratios'][name]:.2f}" for name in others),
                f"{share[VIT]:.0%}",
                f"{first[VIT]:.1f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    if "import_seconds" in results:
        lines += ["## Seconds to import", "", "| package | seconds |", "| --- | --- |"]
        lines += [f"| {k} | {v:.2f} |" for k, v in results["import_seconds"].items()] + [""]
    for task, found in results.get("memory_mib", {}).items():
        batch = max(row["batch"] for row in results["comparisons"])
        lines += [f"## Peak memory of a {task} step, batch {batch} (MiB)", ""]
        lines += ["| model | MiB |", "| --- | --- |"]
        lines += [f"| {name} | {value:,.0f} |" for name, value in found.items()] + [""]
    if "scaling" in results:
        lines += ["## Seconds an image, predicting", ""]
        lines += ["| model | pixels | batch | seconds |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {r['model']} | {r['side']} | {r['batch']} | {r['seconds_per_image']:.4f} |"
            for r in results["scaling"]
        ] + [""]
    if "parts_seconds" in results:
        parts = dict(results["parts_seconds"])
        whole = parts.pop("whole model")
        lines += [
            "## Where the time goes: parts of the fused model, each compiled alone, batch 8",
            "",
            "| part, all blocks | share of the whole model's time |",
            "| --- | --- |",
            *(f"| {name} | {seconds / whole:.1%} |" for name, seconds in parts.items()),
            f"| sum | {sum(parts.values()) / whole:.1%} |",
            "",
        ]
    return "\n".join(lines)


def figure(results: dict):
    """Time an image against batch, and against resolution."""
    chart = new_figure(9, 3.2)
    panels = chart.subplots(1, 3)
    for axes, task in zip(panels[:2], BASES, strict=True):
        rows = [r for r in results["comparisons"] if r["task"] == task]
        for name in rows[0]["seconds"] if rows else ():
            batches = [r["batch"] for r in rows]
            each = [1e3 * r["seconds"][name] / r["batch"] for r in rows]
            axes.plot(batches, each, "o-", ms=4, label=name, color=COLOURS.get(name))
        axes.set(xlabel="batch", ylabel="ms an image", title=task, xscale="log", ylim=(0, None))
        if rows:
            axes.set_xticks(batches, [str(b) for b in batches])
            axes.minorticks_off()
        axes.legend(frameon=False, fontsize=6)
    for name in (BASES["predict"], VIT):
        rows = [r for r in results.get("scaling", ()) if r["model"] == name]
        sides = [r["side"] for r in rows]
        panels[2].plot(
            sides, [1e3 * r["seconds_per_image"] for r in rows], "o-", ms=4, label=name,
            color=COLOURS[name],
        )  # fmt: skip
    panels[2].set(xlabel="pixels a side", ylabel="ms an image", title="predict", ylim=(0, None))
    panels[2].legend(frameon=False, fontsize=6)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return chart
