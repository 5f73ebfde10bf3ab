"""Documents the classes that `keras_crate/keras_hub/families.py` makes of templates."""

import ast

import griffe

TEMPLATES = {
    "Backbone": "_BACKBONE",
    "ImageConverter": "_CONVERTER",
    "ImageClassifierPreprocessor": "_PREPROCESSOR",
    "ImageClassifier": "_CLASSIFIER",
}


class KerasHubClasses(griffe.Extension):
    """Puts classes with the templates' docstrings in the place of assigned names."""

    def on_module(self, *, mod: griffe.Module, **_) -> None:
        if mod.path != "keras_crate.keras_hub.families":
            return
        tree = ast.parse(mod.filepath.read_text("utf8"))
        assigned = [(n.targets[0], n.value) for n in tree.body if isinstance(n, ast.Assign)]
        texts = {to.id: value.value for to, value in assigned if isinstance(value, ast.Constant)}
        for targets, call in assigned:
            for target in targets.elts if isinstance(targets, ast.Tuple) else ():
                name, model = call.args[0].value, call.args[1].attr
                template = texts[TEMPLATES[target.id.removeprefix(name)]]
                made = griffe.Class(target.id, lineno=target.lineno)
                text = template.format(name=name, model=model)
                made.docstring = griffe.Docstring(text, parent=made)
                mod.set_member(target.id, made)
