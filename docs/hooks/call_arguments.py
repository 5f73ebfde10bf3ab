"""Tells the docstring parser what "Call arguments" and "Weights" are: more parameters."""

import griffe


class CallArguments(griffe.Extension):
    """Reads the section "Call arguments" of layers like "Args"."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace(
                "\nCall arguments:\n", "\nOther parameters: Call arguments\n"
            )
