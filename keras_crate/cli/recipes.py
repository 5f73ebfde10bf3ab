"""Lists the recipes, or prints the settings of one.

keras-crate recipes
keras-crate recipes cifar10-paper
"""

import json

from keras_crate.training import list_recipes, load_recipe


def add_arguments(parser) -> None:
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", 
                        help="name of a recipe, or a .toml or .json file")  # fmt: skip


def run(arguments) -> None:
    if arguments.recipe:
        for name, value in load_recipe(arguments.recipe).to_dict().items():
            print(f"{name} = {json.dumps(value)}")
        return
    names = list_recipes()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {load_recipe(name).description}")
