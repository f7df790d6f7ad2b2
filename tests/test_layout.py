"""The street grid: avenues, the one direction of imports, packaging, and the house rules a machine can check."""

import ast
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from theorycheck import checks

ROOT = Path(__file__).parents[1]
AVENUES = ("theory", "sims", "checks", "figures", "cli")   # each may import from those before it
SOURCES = sorted(path for avenue in AVENUES for path in (ROOT / avenue).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
BUILT_ON = {"schedules": {"fsl"}}
KEPT_OUT = {
    "theory": {"matplotlib", "joblib", "click", "rich", "random", "secrets", "pathlib", "io", "tempfile"},
    "sims": {"matplotlib", "click"},
    "checks": {"matplotlib", "click"},
}


def name(path):
    return str(path.relative_to(ROOT))


def in_avenue(avenue):
    return [(path, tree) for path, tree in TREES.items() if path.relative_to(ROOT).parts[0] == avenue]


def imports(path, tree):
    """Absolute module names that a file imports, wherever in the file that happens."""
    package = ["theorycheck", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_there_is_something_to_check():
    assert len(SOURCES) > 20 and all((ROOT / avenue / "__init__.py").is_file() for avenue in AVENUES)


@pytest.mark.parametrize("avenue", AVENUES)
def test_imports_run_one_way(avenue):
    beyond = AVENUES[AVENUES.index(avenue) + 1:]
    wrong = [f"{name(path)} imports {module}" for path, tree in in_avenue(avenue)
             for module in imports(path, tree) if module.startswith(tuple(f"theorycheck.{other}" for other in beyond))]
    assert not wrong


def test_the_direction_test_sees_every_kind_of_import():
    tree = ast.parse("import theorycheck.cli\n"
                     "def f():\n    from ...figures.style import new\n    from .. import judges\n")
    found = set(imports(ROOT / "checks/fsl/x.py", tree))
    assert {"theorycheck.cli", "theorycheck.figures.style", "theorycheck.checks.judges"} <= found


def test_streets_do_not_import_each_other():
    """A topic may be declared to build on another: its model, its solvers and its simulation are then the same."""
    topics = set(checks.TOPICS)
    wrong = []
    for path, tree in TREES.items():
        mine = {part.removesuffix(".py") for part in path.relative_to(ROOT).parts[1:2]} & topics
        others = topics - mine - BUILT_ON.get("".join(mine), set())
        if mine:
            wrong += [f"{name(path)} imports {module}" for module in imports(path, tree)
                      if module.startswith("theorycheck.") and set(module.split(".")[2:3]) & others]
    assert not wrong


def test_avenues_import_relatively():
    wrong = [f"{name(path)}:{node.lineno}" for path, tree in TREES.items() for node in ast.walk(tree)
             if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
             and any((module or "").split(".")[0] in ("theorycheck", *AVENUES)
                     for module in ([node.module] if isinstance(node, ast.ImportFrom) else
                                    [alias.name for alias in node.names]))]
    assert not wrong


@pytest.mark.parametrize("avenue", KEPT_OUT)
def test_what_an_avenue_stays_clear_of(avenue):
    wrong = [f"{name(path)} imports {module}" for path, tree in in_avenue(avenue) for module in imports(path, tree)
             if module.split(".")[0] in KEPT_OUT[avenue] or (avenue == "theory" and module.startswith("numpy.random"))]
    assert not wrong


def test_theory_draws_no_random_numbers():
    wrong = [f"{name(path)}:{node.lineno}" for path, tree in in_avenue("theory") for node in ast.walk(tree)
             if isinstance(node, ast.Attribute) and node.attr == "random"]
    assert not wrong


def test_every_library_is_declared():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    declared = {re.split(r"[<>=\[]", line)[0] for line in setup["options"]["install_requires"].split()}
    optional = {"cupy", "distributed", "pyarrow"}   # asked for with --device gpu, --dask and Parquet only
    used = {module.split(".")[0] for path, tree in TREES.items() for module in imports(path, tree)}
    assert used - sys.stdlib_module_names - {"theorycheck", "llvmlite"} - optional <= declared


def test_every_package_is_declared():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = {".".join(["theorycheck", *path.parent.relative_to(ROOT).parts]) for path in SOURCES
             if path.name == "__init__.py"}
    assert set(setup["options"]["packages"].split()) == found
    assert not (ROOT / "theorycheck").exists()   # a namespace package: no folder of that name


def public_definitions(tree):
    """Public functions and classes of a module, and public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (each for each in node.body
                            if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"))


def decorated_as_claim(node):
    """Claims, controls and figures carry their text in the decorator."""
    return any(isinstance(each, ast.Call) and getattr(each.func, "id", getattr(each.func, "attr", "")) in
               ("claim", "control", "printed", "figure") for each in node.decorator_list)


def test_every_module_and_public_name_is_documented():
    wrong = [name(path) for path, tree in TREES.items() if tree.body and not ast.get_docstring(tree)]
    wrong += [f"{name(path)}:{node.lineno} {node.name}" for path, tree in TREES.items()
              for node in public_definitions(tree) if not ast.get_docstring(node) and not decorated_as_claim(node)]
    assert not wrong


def test_functions_and_files_stay_readable():
    wrong = [f"{name(path)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
             for path, tree in TREES.items() for node in ast.walk(tree)
             if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 90]
    wrong += [name(path) for path in SOURCES if path.read_text(encoding="utf-8").count("\n") > 550]
    assert not wrong


def test_no_bare_except_and_nothing_left_to_do():
    mark = re.compile(r"\b(TODO|" + "FIX" + r"ME|XXX)\b")
    wrong = [f"{name(path)}:{node.lineno}" for path, tree in TREES.items() for node in ast.walk(tree)
             if isinstance(node, ast.ExceptHandler) and node.type is None]
    wrong += [name(path) for path in SOURCES if mark.search(path.read_text(encoding="utf-8"))]
    assert not wrong


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_ruff_is_content():
    folders = [folder for folder in (*AVENUES, "tests", "demos", "benchmarks", "examples") if (ROOT / folder).is_dir()]
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", *folders],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_names_in_use_are_those_of_this_checkout():
    for avenue in AVENUES:
        assert importlib.util.find_spec(f"theorycheck.{avenue}").origin == str(ROOT / avenue / "__init__.py")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with theorycheck installed from a wheel that was built from a copy of this checkout."""
    copy, target = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("target")
    for avenue in AVENUES:
        shutil.copytree(ROOT / avenue, copy / avenue, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
                           "--no-index", "--disable-pip-version-check", "--target", target, copy],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def test_a_wheel_has_every_module_and_nothing_else(installed):
    found = {str(path.relative_to(installed / "theorycheck")) for path in (installed / "theorycheck").rglob("*.py")}
    assert found == {name(path) for path in SOURCES}
    kernels = {path.name for path in (ROOT / "sims/cuda").iterdir() if path.suffix in (".cu", ".cuh", ".h")}
    assert kernels and kernels <= {path.name for path in (installed / "theorycheck/sims/cuda").iterdir()}
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"theorycheck", "bin"}   # no top-level sims or theory that could shadow somebody's own


def test_an_installed_copy_imports_beside_a_users_own_modules(installed, tmp_path):
    (tmp_path / "theory.py").write_text("raise RuntimeError('the user\\'s own theory was imported')\n")
    modules = [".".join(["theorycheck", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
               for path in SOURCES]
    code = ("import importlib, sys\n"
            f"for module in {modules!r}:\n"
            f"    assert importlib.import_module(module).__file__.startswith({str(installed)!r}), module\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(installed), "NUMBA_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_the_installed_console_script_answers(installed, tmp_path):
    done = subprocess.run([sys.executable, installed / "bin" / "theorycheck", "--version"], cwd=tmp_path,
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(installed)})
    assert (done.returncode, done.stdout[:14]) == (0, "theorycheck 0.")
