"""docs/benchmarks.md, made of the files in benchmarks/results."""

import ast
import json
import statistics
from collections.abc import Callable
from pathlib import Path

from markdown_table import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_INTRODUCTION = """# Benchmark results

These tables are made of the files in [benchmarks/results](../benchmarks/results), which the
scripts wrote. [Speed and memory](speed.md) says what they mean, and
[Training](training.md#what-was-measured) discusses the accuracies. A column "time / X" is a
time divided by that of X, so below 1 is faster than X. In the first section, it is the time of
CRATE-B, which is fused to predict. Ratios compare models that ran in turns in one process.
Absolute times depend on the machine and on what else ran on it."""


def benchmarks_page() -> str:
    """The text of docs/benchmarks.md."""
    lines = [_INTRODUCTION]
    for kind, (title, script, tables) in KINDS.items():
        files = sorted(RESULTS.glob(f"{kind}_*.json"))
        lines += ["", f"## {title}", "", _about(script), ""]
        lines += [
            f"- [{file.name}](../benchmarks/results/{file.name}){_machine(file)}" for file in files
        ]
        for head, rows in tables([(file, json.loads(file.read_text("utf8"))) for file in files]):
            lines += ["", *table(head, rows)]
    return "\n".join(lines) + "\n"


def _about(script: str) -> str:
    """The script's link, and the first line of its docstring."""
    said = ast.get_docstring(ast.parse((ROOT / script).read_text("utf8"))).splitlines()[0]
    return f"[{script}](../{script}): {said}"


def _machine(file: Path) -> str:
    """Device, date and versions, as far as the file says them."""
    results = json.loads(file.read_text("utf8"))
    found = results[0] if isinstance(results, list) else results.get("machine", results)
    facts = [found.get("backend")]
    device = found.get("accelerator") or found.get("device")
    if "processor" in found and not device:
        device = f"{found['processor']}, {_count(found['cores'], 'core')}"
    facts += [device, found.get("date")]
    facts += [f"{name} {version}" for name, version in found.get("versions", {}).items()]
    if "keras" in found:
        facts.append(f"keras {found['keras']}")
    said = ", ".join(str(fact) for fact in facts if fact)
    return f": {said}" if said else ": the file does not state the machine"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + "s" * (number != 1)


def _backend(file: Path, results: dict) -> str:
    return results.get("machine", results)["backend"]


def _peers(files):
    for task in ("predict", "train"):
        rows = [
            (
                _backend(file, results),
                str(row["batch"]),
                *(_ratio(row["ratios"], name) for name in names),
            )
            for file, results in files
            for names in [_names(results, task)]
            for row in results["comparisons"]
            if row["task"] == task
        ]
        head = [f"time / {name}" for name in _names(files[0][1], task)]
        yield (f"backend, {task}", "batch", *head), rows
    rows = [
        (_backend(file, results), task, model, f"{mib:,.0f}")
        for file, results in files
        for task, found in results["memory_mib"].items()
        for model, mib in found.items()
    ]
    yield ("backend", "step, largest batch", "model", "peak memory, MiB"), rows


def _names(results, task) -> list[str]:
    return list(next(row for row in results["comparisons"] if row["task"] == task)["ratios"])


def _ratio(ratios, name) -> str:
    return f"{ratios[name]:.2f}" if name in ratios else "-"


def _throughput(files):
    for _, results in files:
        rows = [
            (
                row["backend"],
                row["model"],
                row["dtype"],
                str(row["batch"]),
                *(
                    _rate(row.get(f"images_per_second_{task}"))
                    for task in ("inference", "training")
                ),
            )
            for row in results
        ]
        yield (
            "backend", "model", "dtype", "batch", "images/s, inference", "images/s, training",
        ), rows  # fmt: skip


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _attention_in_training(files):
    for file, results in files:
        forms = list(results["cases"][0]["images_per_second"])
        rows = [
            (_backend(file, results), f"{case['batch']} x {case['tokens']:,}", case["chosen"],
             *(_rate(case["images_per_second"].get(form)) for form in forms))
            for case in results["cases"]
        ]  # fmt: skip
        yield ("backend", "batch x tokens", "chosen form", *forms), rows


def _attention_cost(files):
    rows = [
        (_backend(file, results), layer, f"{results['exponents']['milliseconds'][layer]:.1f}",
         f"{results['exponents']['mebibytes'][layer]:.1f}",
         f"{results['milliseconds'][layer][-1]:,.0f}", f"{results['mebibytes'][layer][-1]:,.0f}")
        for file, results in files
        for layer in results["milliseconds"]
    ]  # fmt: skip
    most = f"{files[0][1]['tokens'][-1]:,} tokens"
    yield (
        "backend", "layer", "exponent of time", "exponent of memory", f"ms, {most}", f"MiB, {most}",
    ), rows  # fmt: skip


def _attention_forms(files):
    rows = []
    for file, results in files:
        for case in results["cases"]:
            times, chosen = case["milliseconds"], case["chosen"]
            ratios = ", ".join(
                f"{form} {time / times[chosen]:.2f}"
                for form, time in times.items()
                if form != chosen
            )
            shape = f"{case['batch']} x {case['tokens']:,}"
            dtype = results.get("dtype", "float32")
            rows.append((_backend(file, results), dtype, case["task"], shape, chosen, ratios))
    yield (
        "backend", "dtype", "task", "batch x tokens", "chosen form", "time / chosen form",
    ), rows  # fmt: skip


def _precision(files):
    rows = [
        (_backend(file, results), form, f"{found['time_ratio']:.2f}", f"{found['weights_mib']:.2f}",
         f"{found['accuracy']:.1%}", f"{found['top1_agreement']:.1%}",
         f"{found['largest_logit_difference']:.1g}")
        for file, results in files
        for form, found in results["forms"].items()
    ]  # fmt: skip
    yield (
        "backend", "form", "time / first form", "weights, MiB", "accuracy", "same top-1",
        "largest difference of logits",
    ), rows  # fmt: skip


def _training_precision(files):
    rows = [
        (_backend(file, results), policy, str(results["batch"]), f"{found['steps']:,}",
         f"{found['losses'][-1]:.3f}", f"{found['accuracy']:.1%}")
        for file, results in files
        for policy, found in results["policies"].items()
    ]  # fmt: skip
    head = ("backend", "dtype policy", "batch", "steps", "loss, last epoch", "validation accuracy")
    yield head, rows


def _exports(files):
    rows = [
        (run["runtime"], str(run["batch"]), f"{run['time_ratio']:.2f}",
         f"{run['largest_logit_difference']:.1g}")
        for _, results in files
        for run in results["runs"]
    ]  # fmt: skip
    yield ("runtime", "batch", "time / Keras", "largest difference of logits"), rows


def _load_weights(files):
    rows = [
        (f"`{way}`", f"{found['time_ratio']:.2f}", f"{found['peak_mebibytes']:,.0f}")
        for _, results in files
        for way, found in results["ways"].items()
    ]
    yield ("way", "time / no weights", "peak memory, MiB"), rows


def _measuring_cost(files):
    rows = [
        (_backend(file, results), f"{results['coding_rate']['authors_to_forward']:.1%}",
         f"{results['coding_rate']['paper_to_forward']:.1%}", f"{results['callback']['share']:.1%}")
        for file, results in files
    ]  # fmt: skip
    yield (
        "backend", "R^c of a block / forward pass, authors' convention", "paper's convention",
        "callback / epoch",
    ), rows  # fmt: skip


def _input_pipeline(files):
    for _, results in files:
        found = results["images_per_second_on_one_core"]
        pipelines = list(next(iter(found.values())))
        rows = [
            (change, *(f"{speed[pipeline]:.0f}" for pipeline in pipelines))
            for change, speed in found.items()
        ]
        yield ("images/s on one core", *pipelines), rows


def _compare(files):
    for _, results in files:
        rows = [
            (model, f"{results['parameters'][model]:,}", _spread([100 * a for a in accuracies]))
            for model, accuracies in results["test_accuracies"].items()
        ]
        seeds = f"{len(results['seeds'])} seeds" if len(results["seeds"]) > 1 else "1 seed"
        epochs = len(next(iter(results["histories"].values()))[0]["epoch"])
        yield ("model", "parameters", f"test accuracy, %, {epochs} epochs, {seeds}"), rows


def _depth(files):
    for _, results in files:
        blocks = range(len(next(iter(results.values()))["coding_rate_mean"]))
        rows = [
            (name, *(f"{found['coding_rate_mean'][block]:.0f}" for block in blocks))
            for name, found in results.items()
        ]
        yield ("R^c, nats, at block", *map(str, blocks)), rows


def _self_supervised(files):
    for _, seeds in files:
        rows = [
            (
                name,
                _spread([seed[name][0] for seed in seeds]),
                _spread([seed[name][1] for seed in seeds]),
            )
            for name in seeds[0]
        ]
        yield ("features", "k-NN accuracy, %", "training, seconds"), rows


def _transfer(files):
    for _, results in files:
        tasks = next(iter(results.values()))[0]
        rows = [
            (task, *(_spread([seed[task] for seed in seeds]) for seeds in results.values()))
            for task in tasks
        ]
        yield ("accuracy, %", *results), rows


def _small_images(files):
    for _, results in files:
        rows = [
            (name, *(f"{value:g}" for value in (
                found["validation"][-1], max(found["validation"]), found["training"]
            )))
            for name, found in results["results"].items()
        ]  # fmt: skip
        yield ("way", "last epoch, %", "best epoch, %", "training images, %"), rows


def _spread(values) -> str:
    """The mean, and the standard deviation if there are several values."""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


# Title, script and tables by the beginning of the files' names.
KINDS: dict[str, tuple[str, str, Callable]] = {
    "peers": ("CRATE-B beside a ViT-S", "benchmarks/peers.py", _peers),
    "throughput": ("Throughput on a GPU", "benchmarks/throughput.py", _throughput),
    "attention_cost": ("Attention as tokens grow", "benchmarks/attention_cost.py", _attention_cost),
    "attention_in_training": (
        "Forms of attention in a training step",
        "benchmarks/attention_in_training.py",
        _attention_in_training,
    ),
    "attention_forms": ("Forms of attention", "benchmarks/attention_forms.py", _attention_forms),
    "precision": ("Lower precision", "benchmarks/precision.py", _precision),
    "training_precision": (
        "Training in 16 bits", "benchmarks/training_precision.py", _training_precision
    ),
    "exports": ("Exported models", "benchmarks/exports.py", _exports),
    "load_weights": ("Building a model with weights", "benchmarks/load_weights.py", _load_weights),
    "measuring_cost": ("Measuring the objective", "benchmarks/measuring_cost.py", _measuring_cost),
    "input_pipeline": ("Input pipelines", "benchmarks/input_pipeline.py", _input_pipeline),
    "compare": ("CRATE, ViT and CNN on Fashion-MNIST", "examples/compare.py", _compare),
    "depth": ("Coding rate in 12 blocks", "examples/depth.py", _depth),
    "self_supervised": ("Features without labels", "examples/self_supervised.py", _self_supervised),
    "transfer": ("Pre-training and fine-tuning digits", "examples/transfer.py", _transfer),
    "small_images": ("Recipes on few images", "benchmarks/small_images.py", _small_images),
}  # fmt: skip
