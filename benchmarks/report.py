"""Writes what `peers.py` measured as JSON, Markdown and a figure."""

from pathlib import Path

from contenders import BASES, EAGER, VIT

from keras_crate.figure import new_figure
from keras_crate.files import write_json

# One colour for each model in all panels.
COLOURS = {"CRATE-B fused": "C0", "CRATE-B": "C1", VIT: "C2", EAGER: "C3"}


def write(results: dict, folder: Path) -> list[Path]:
    """Writes `peers_BACKEND_POLICY.json`, `.md` and `.png` into a folder; returns the paths."""
    name = f"peers_{results['machine']['backend']}"
    if results["machine"]["accelerator"]:
        name += "_" + results["machine"]["accelerator"].replace(" ", "-")
    name += f"_{results['policy']}"
    paths = [folder / f"{name}{ending}" for ending in (".json", ".md", ".png")]
    write_json(paths[0], results)
    paths[1].write_text(markdown(results), encoding="utf8")
    figure(results).savefig(paths[2], dpi=150)
    return paths


def markdown(results: dict) -> str:
    """The numbers as tables."""
    machine = results["machine"]
    device = machine["accelerator"] or f"{machine['processor']}, {machine['cores']} cores"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"# CRATE-B beside its peers: {machine['backend']}, {results['policy']}",
        "",
        f"{device}; {machine['date']}; {versions}. Ratios of time are medians over rounds in "
        "which all models run in turns; below 1, CRATE is faster.",
        "",
    ]
    for task in BASES:
        rows = [row for row in results["comparisons"] if row["task"] == task]
        if rows:
            lines += _comparison(task, rows)
    if "import_seconds" in results:
        rows = [(name, f"{value:.2f}") for name, value in results["import_seconds"].items()]
        lines += ["## Seconds to import", "", *_table(("package", "seconds"), rows)]
    for task, found in results.get("memory_mib", {}).items():
        batch = max(row["batch"] for row in results["comparisons"])
        rows = [(name, f"{value:,.0f}") for name, value in found.items()]
        lines += [f"## Peak memory of a {task} step, batch {batch} (MiB)", ""]
        lines += _table(("model", "MiB"), rows)
    if "scaling" in results:
        rows = [
            (row["model"], row["side"], row["batch"], f"{row['seconds_per_image']:.4f}")
            for row in results["scaling"]
        ]
        lines += ["## Seconds per image, predicting", ""]
        lines += _table(("model", "pixels", "batch", "seconds"), rows)
    if "parts_seconds" in results:
        parts = dict(results["parts_seconds"])
        whole = parts.pop("whole model")
        parts["sum of the parts"] = sum(parts.values())
        rows = [(name, f"{seconds / whole:.1%}") for name, seconds in parts.items()]
        lines += ["## Parts of the fused model, each compiled alone, batch 8", ""]
        lines += _table(("part, all blocks", "share of the whole model's time"), rows)
    return "\n".join(lines)


def _comparison(task, rows):
    base, others = BASES[task], list(rows[0]["ratios"])
    header = ["batch", "images/s", "share of matrix rate", "first step (s)"]
    header += [f"time / {name}" for name in others]
    header += [f"share, {VIT}", f"first step, {VIT} (s)"]
    cells = []
    for row in rows:
        share, first = row["share_of_matrix_rate"], row["first_step_seconds"]
        each_second = row["batch"] / row["seconds"][base]
        cells.append([row["batch"], f"{each_second:.2f}", f"{share[base]:.0%}"])
        cells[-1] += [f"{first[base]:.1f}", *(f"{row['ratios'][name]:.2f}" for name in others)]
        cells[-1] += [f"{share[VIT]:.0%}", f"{first[VIT]:.1f}"]
    return [f"## {task}: {base}", "", *_table(header, cells)]


def _table(header, rows):
    cells = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(map(str, row))} |" for row in cells] + [""]


def figure(results: dict):
    """Time per image against batch, for both tasks, and against resolution."""
    chart = new_figure(9, 3.2)
    panels = chart.subplots(1, 3)
    for axes, task in zip(panels[:2], BASES, strict=True):
        rows = [row for row in results["comparisons"] if row["task"] == task]
        batches = [row["batch"] for row in rows]
        for name in rows[0]["seconds"] if rows else ():
            each = [1e3 * row["seconds"][name] / row["batch"] for row in rows]
            axes.plot(batches, each, "o-", ms=4, label=name, color=COLOURS.get(name))
        axes.set(xlabel="batch", ylabel="ms per image", title=task, xscale="log", ylim=(0, None))
        if rows:
            axes.set_xticks(batches, [str(batch) for batch in batches])
            axes.minorticks_off()
            axes.legend(frameon=False, fontsize=6)
    for name in (BASES["predict"], VIT):
        rows = [row for row in results.get("scaling", ()) if row["model"] == name]
        sides = [row["side"] for row in rows]
        each = [1e3 * row["seconds_per_image"] for row in rows]
        panels[2].plot(sides, each, "o-", ms=4, label=name, color=COLOURS[name])
    panels[2].set(xlabel="pixels per side", ylabel="ms per image", title="predict", ylim=(0, None))
    panels[2].legend(frameon=False, fontsize=6)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return chart
