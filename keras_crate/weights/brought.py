"""Settings that come with the weights of a file, for arguments that the user left at None."""

from keras_crate.checks import is_number
from keras_crate.weights.hdf5 import Refused


def settings_of(config: dict, origin: str) -> dict:
    """Returns the settings in a file's configuration that its weights need."""
    found = {name: config[name] for name in _RULES if config.get(name) is not None}
    wrong = [name for name, value in found.items() if not _RULES[name](value)]
    wrong += [name for name in ("mean", "std") if ("mean" in found) != ("std" in found)]
    names = found.get("class_names")
    if not wrong and names is not None and len(names) != config.get("classes", len(names)):
        wrong = ["class_names"]
    if wrong:
        value = repr(config.get(wrong[0]))[:200]
        raise Refused(
            f"The model in {origin} has a setting that is damaged: {wrong[0]}={value}. Nothing was "
            "loaded."
        )
    return found


def _are_numbers(value) -> bool:
    return all(map(is_number, value if isinstance(value, list) and value else [value]))


def _are_names(value) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_RULES = {
    "epsilon": lambda value: is_number(value) and value > 0,
    "mean": _are_numbers,
    "std": _are_numbers,
    "class_names": _are_names,
    "evaluation": lambda value: isinstance(value, dict),
}
