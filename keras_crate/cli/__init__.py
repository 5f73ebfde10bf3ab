"""The commands of `keras-crate`, one file for each. `keras_crate_cli` finds them.

The docstring of a file is the command's description, and after an empty line its examples.
`add_arguments` adds the command's arguments to a parser, and `run` runs it.
"""
