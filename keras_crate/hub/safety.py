"""Checks that a downloaded model runs no code and names no other files."""

import importlib
import types
from pathlib import Path

import keras

from keras_crate.models.published_names import without_keras_hub
from keras_crate.reading import read_json

# Class names that Keras gives to plain values.
_VALUES = {
    "__tensor__", "__numpy__", "__bytes__", "__tuple__", "__slice__", "__ellipsis__",
    "__keras_tensor__", "__complex__",
}  # fmt: skip
# Layers and operations of Keras that run code from a file, another framework's
# program, or a function of the configuration.
_FOREIGN = {
    "Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "Switch", "Cond", "Map",
    "Scan", "AssociativeScan", "WhileLoop", "ForiLoop", "VectorizedMap",
}  # fmt: skip
_FUNCTIONS = (
    "activations", "losses", "metrics", "initializers", "regularizers", "constraints",
)  # fmt: skip


def check_keras_folder(folder: Path, origin: str, compile: bool = True) -> None:
    """Refuses a dangerous model before any part of it is created.

    A configuration may name only:

    - classes of Keras and of this package that belong to models;
    - functions of Keras, such as activations;
    - classes and functions that are registered in this process.

    Functions that are stored as code are refused. Keras' safe mode stays on, but it
    refuses less than this.
    """
    config = read_json(
        folder / "config.json", has={"config": dict}, name=f"The config.json of {origin}"
    )
    if not compile:
        config.pop("compile_config", None)
    with without_keras_hub():
        _check(config, origin)


def _check(config, origin: str, in_graph: bool = False) -> None:
    if isinstance(config, list):
        for item in config:
            _check(item, origin, in_graph)
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            _check_object(config, origin, in_graph)
        for name in ("vocabulary", "idf_weights"):
            if isinstance(config.get(name), str):
                raise ValueError(
                    f"{origin} has a layer that reads the file {config[name]!r} ({name}). Nothing "
                    "was loaded."
                )
        for name, value in config.items():
            _check(value, origin, in_graph or name == "inbound_nodes")


def _check_object(config: dict, origin: str, in_graph: bool) -> None:
    name, module = config["class_name"], config.get("module")
    if name in _VALUES and module is None:
        return
    if name in _FOREIGN or name.startswith("__"):
        raise ValueError(
            f"{origin} holds a {name}, which can run code. Code of a repository is never run, and "
            "nothing was loaded. Ask its owner for a model of registered layers."
        )
    is_function = name == "function"
    if is_function:  # Keras finds functions by `config` alone
        name = config.get("config")
    registered = config.get("registered_name", 0)
    if not isinstance(name, str) or not isinstance(registered, (str, type(None))):
        raise ValueError(f"{origin} holds an object of no known format ({name!r}).")
    if is_function and (in_graph or "inbound_nodes" in config):
        raise ValueError(
            f"{origin} calls the function {module}.{name} in its graph, which is not allowed. "
            "Nothing was loaded."
        )
    known = (_is_known_function if is_function else _is_known_class)(name, config)
    if not known:
        raise ValueError(
            f"{origin} names {module}.{name}, which is not a part of models of Keras or "
            "keras_crate. Nothing was loaded. If you trust it, import the module that registers it "
            "(`keras.saving.register_keras_serializable`) and try again."
        )


def _is_known_function(name: str, config: dict) -> bool:
    registered = keras.saving.get_registered_object(name)
    if registered is not None:
        return isinstance(registered, types.FunctionType)
    module = config.get("module")
    # Keras imports any module that is named here, so only these are allowed.
    if module != "builtins" and str(module).split(".")[0] != "keras":
        return False
    if name in ("get", "serialize", "deserialize"):
        return False
    parts = (getattr(getattr(keras, part), name, None) for part in _FUNCTIONS)
    return any(isinstance(part, types.FunctionType) for part in parts)


def _is_known_class(name: str, config: dict) -> bool:
    registered_name = config["registered_name"] or name
    registered = keras.saving.get_registered_object(registered_name)
    if registered is not None:  # Keras prefers it to the named module
        names = (registered.__name__, registered_name.rpartition(">")[2])
        return isinstance(registered, type) and name in names
    module = config.get("module")
    if not isinstance(module, str) or module.split(".")[0] != "keras":
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, _parts_of_models())


def _parts_of_models() -> tuple[type, ...]:
    operation = keras.Operation  # layers, models and operations of a graph
    return (
        operation,
        keras.optimizers.Optimizer,
        keras.optimizers.schedules.LearningRateSchedule,
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
        keras.dtype_policies.DTypePolicy,
        keras.dtype_policies.DTypePolicyMap,
        keras.random.SeedGenerator,
        *(
            getattr(keras.quantizers, name)
            for name in ("Quantizer", "QuantizationConfig")
            if hasattr(keras.quantizers, name)
        ),
    )
