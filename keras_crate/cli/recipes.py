"""`keras-crate recipes`: the recipes, and what each says."""


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "recipes",
        help="list the recipes to train by",
        description="Lists the recipes, or prints the settings of one.",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a name or a file")
    parser.set_defaults(run=run)


def run(arguments) -> None:
    """Runs the command."""
    import json

    from keras_crate.training import list_recipes, load_recipe

    if arguments.recipe:
        for name, value in load_recipe(arguments.recipe).to_dict().items():
            print(f"{name} = {json.dumps(value)}")
        return
    names = list_recipes()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {load_recipe(name).description}")
