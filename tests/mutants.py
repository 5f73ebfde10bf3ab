"""Mutation testing: changes one operator, number or condition of a room, and runs its tests.

    pip install cosmic-ray
    KERAS_BACKEND=torch python tests/mutants.py layers --number 20 --seed 0

For each change, the test file with the same name runs first, then the other files of the
room, up to the first failure. A change that no test notices is printed with its line: it
needs a test, or it changes nothing that a user could see. Changes of docstrings and type
annotations are left out. The checkout stays as it is: a copy is changed.
"""

import argparse
import ast
import compileall
import contextlib
import importlib
import os
import py_compile
import random
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("layers", "objective", "weights", "models")
SECONDS = 600  # of processor time, for a change that makes a loop endless


def without_annotations(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if hasattr(node, name):
                setattr(node, name, ast.Constant(None))
        if hasattr(node, "body") and isinstance(node.body, list):
            node.body = [
                s for s in node.body if not isinstance(getattr(s, "value", s), ast.Constant)
            ]
    return ast.dump(tree)


def mutants(room: str, number: int, seed: int):
    """Yields paths, line numbers and changed sources, at random."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    operators = [get_operator(name) for name in operator_names()]
    operators = [operator() for operator in operators if not operator.arguments()]
    places = []
    for path in sorted((ROOT / "keras_crate" / room).glob("*.py")):
        nodes = list(ast_nodes(get_ast(path.read_text())))
        for operator in operators:
            found = (place for node in nodes for place in operator.mutation_positions(node))
            places += [(path, operator, k, start[0]) for k, (start, _) in enumerate(found)]
    random.Random(f"{seed}{room}").shuffle(places)
    for path, operator, k, line in places:
        source, changed = path.read_text(), mutate_code(path.read_text(), operator, k)
        try:
            if without_annotations(changed) == without_annotations(source):
                continue
        except SyntaxError:
            continue
        yield path.relative_to(ROOT), line, changed
        number -= 1
        if number == 0:
            return


def is_noticed(copy: Path, path: Path, changed: str) -> bool:
    """Runs the tests of a changed file in a process with the libraries that are imported here."""
    room = copy / "tests" / path.parent.name
    same = room / f"test_{path.name}"
    files = [same] * same.exists() + sorted(set(room.glob("test_*.py")) - {same})
    original = (copy / path).read_text()
    (copy / path).write_text(changed)
    process = os.fork()
    if process == 0:
        import pytest

        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *map(str, files)])
        except BaseException:
            status = 1
        os._exit(status)
    status = os.waitpid(process, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # what its tests started
    (copy / path).write_text(original)
    return status != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--number", type=int, default=20, help="of changes (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in ("torch", "keras", "h5py", "huggingface_hub", "hypothesis", "pytest"):
        importlib.import_module(name)  # once, for all processes
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        checked = py_compile.PycInvalidationMode.CHECKED_HASH  # a change is seen
        compileall.compile_dir(copy, quiet=2, invalidation_mode=checked)
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        noticed = total = 0
        for path, line, changed in mutants(given.room, given.number, given.seed):
            total += 1
            if is_noticed(copy, path, changed):
                noticed += 1
                continue
            text = changed.splitlines()[line - 1].strip()
            print(f"not noticed: {path}:{line}: {text}", flush=True)
    print(f"{noticed} of {total} changes were noticed.")


if __name__ == "__main__":
    main()
