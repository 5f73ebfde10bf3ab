"""Opens a command's model, and prepares its images."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from keras_crate.evaluation import Evaluation
from keras_crate.hub.open_model import open_model
from keras_crate.models import CRATEMAE
from keras_crate.training import SimDINO


def open_encoder(address: str):
    """Returns a model, or the encoder of one trained without labels, and its evaluation."""
    model, evaluation = open_model(address)
    if isinstance(model, SimDINO):
        model = model.encoder()
        evaluation = Evaluation.known_for(model) or evaluation
    evaluation = evaluation or Evaluation.for_model(model)
    return (model.encoder() if isinstance(model, CRATEMAE) else model), evaluation


def prepared(arguments, model, evaluation: Evaluation) -> Evaluation:
    """Returns the evaluation with `--resize` or `--crop` applied, and prints it."""
    used = evaluation.used_for(model)
    if arguments.crop or arguments.resize is not None:
        resize = used.size if arguments.resize == "whole" else arguments.resize
        used = dataclasses.replace(used, resize=resize)
    print(f"images: {used.resizing}", file=sys.stderr)
    return used


def report_broken(broken: Mapping[Path | str, str]) -> dict[str, str]:
    """Prints which files were left out, and why. Returns the reason for each."""
    for file, reason in broken.items():
        print(f"keras-crate: left out {file}: {reason}", file=sys.stderr)
    return {str(file): reason for file, reason in broken.items()}
