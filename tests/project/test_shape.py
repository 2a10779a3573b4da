"""The shape of the project: layers, what an import costs, notebooks, the Binder folder."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import resilab

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "resilab"

# From the ground up: modules, and what they may import from elsewhere beside what is below them.
LAYERS = (
    ({"errors", "events", "randomness", "distributions", "theory", "validation"}, {"numpy", "simpy"}),
    ({"engine"}, set()),
    ({"resilience"}, set()),
    ({"profiles"}, set()),
    ({"communication", "consistency", "health"}, set()),
    ({"lab"}, {"pandas"}),
    ({"worlds", "traces"}, set()),
    ({"fleet", "messaging", "outbox", "saga"}, set()),  # rooms of the public face
    ({"experiments"}, {"joblib", "tqdm"}),
    ({"selection"}, set()),
    ({"configs"}, {"yaml"}),
    ({"__main__"}, set()),
    ({"plots"}, {"matplotlib", "PIL"}),
    ({"widgets"}, {"anywidget", "ipywidgets", "traitlets", "IPython"}),
)
HEAVY = {"pandas", "matplotlib", "ipywidgets", "joblib", "scipy"}
SIMPY_PRIVATE = {"_queue", "_eid", "_now", "_active_proc", "_target", "_generator", "_ok", "_value", "_defused"}
SIMPY_CLASSES = {"Environment", "Event", "Process", "Timeout", "Condition", "AnyOf", "AllOf", "Interruption"}


class Import(NamedTuple):
    """An import statement: what it names, and whether it runs when the module is loaded."""

    line: int
    target: str
    is_eager: bool


def modules() -> dict[str, Path]:
    """Return the path of each module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, *, with_types: bool = True) -> Iterator[Import]:
    """Yield the imports of a module, relative ones resolved, a line for each name; some are for the types alone."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST, is_eager: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(child.lineno, alias.name, is_eager)
            elif isinstance(child, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
                source = ".".join([*base, *filter(None, [child.module])])
                for alias in child.names:
                    full = f"{source}.{alias.name}"
                    yield Import(child.lineno, full if full in MODULES else source, is_eager)
            else:
                is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
                is_lazy = is_for_types or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                if with_types or not is_for_types:
                    yield from visit(child, is_eager and not is_lazy)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), True)


MODULES = modules()


def layer_of(module: str) -> int:
    """Return the number of the layer of a module, from the ground up."""
    part = module.split(".")[1]
    for number, (names, _) in enumerate(LAYERS):
        if part in names:
            return number
    raise AssertionError(f"{module} is in no layer: give {part!r} its place in LAYERS")


def test_every_module_imports_only_from_its_own_layer_and_those_below():
    """The chain from description to picture is one-way."""
    wrong = []
    for name, path in MODULES.items():
        if name == "resilab":
            continue
        for line, target, is_eager in imports_of(name, path):
            if target == "resilab" and (is_eager or layer_of(name) < len(LAYERS) - 1):
                wrong.append(f"{name}:{line} imports the whole package")
            elif target.startswith("resilab.") and layer_of(target) > layer_of(name):
                wrong.append(f"{name}:{line} imports {target}, which is above it")
    assert not wrong


def test_no_module_loads_another_package_than_those_of_its_layer():
    """What the upper layers need is not loaded by the lower ones."""
    wrong = []
    for name, path in MODULES.items():
        if name == "resilab":
            continue
        allowed = set().union(*(packages for _, packages in LAYERS[: layer_of(name) + 1]))
        for line, target, is_eager in imports_of(name, path):
            package = target.split(".")[0]
            if is_eager and package not in allowed | sys.stdlib_module_names | {"resilab"}:
                wrong.append(f"{name}:{line} imports {package}")
    assert not wrong


def test_modules_do_not_import_each_other_in_a_circle():
    """Every module can be read without one that needs it; imports in functions count, those for the types do not."""
    graph = {
        name: {target for _, target, _ in imports_of(name, path, with_types=False) if target in MODULES}
        for name, path in MODULES.items()
        if path.name != "__init__.py"  # a folder's list of names
    }
    graphlib.TopologicalSorter({name: targets & set(graph) for name, targets in graph.items()}).prepare()


def test_import_is_cheap():
    """`import resilab` loads none of the heavy packages: they come when they are used."""
    code = f"import sys, resilab; print(sorted({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def imported_names(package: str) -> set[str]:
    """Return what the `__init__.py` of a package imports from its own modules."""
    tree = ast.parse(MODULES[package].read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    names = {alias.asname or alias.name for node in froms for alias in node.names}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("package", [resilab, resilab.plots], ids=lambda package: package.__name__)
def test_public_names_are_those_that_tab_offers(package):
    """Each is listed once, in order, can be loaded, and says what it is; no folder or helper is among them."""
    assert set(package.__all__) == imported_names(package.__name__)
    assert len(package.__all__) == len(set(package.__all__))
    assert package.__all__ == sorted(package.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert [name for name in dir(package) if not name.startswith("__")] == sorted(package.__all__)
    constants = {name for name in package.__all__ if name.isupper()}
    assert [name for name in package.__all__ if not getattr(package, name).__doc__ and name not in constants] == []


def test_private_parts_of_simpy_are_touched_in_one_module_only():
    """A new version of SimPy can break `engine.py`, and nothing else."""
    wrong = []
    for name, path in MODULES.items():
        if name == "resilab.engine":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = set()  # attributes of objects that are not SimPy's
        for node in ast.walk(tree):
            bases = {ast.unparse(base).split(".")[-1] for base in getattr(node, "bases", ())}
            if isinstance(node, ast.ClassDef) and not bases & SIMPY_CLASSES:
                own |= {id(part) for part in ast.walk(node) if _is_of_self(part)}
        wrong += [
            f"{name}:{node.lineno} {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in SIMPY_PRIVATE and id(node) not in own
        ]
    assert not wrong


def _is_of_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


# --- notebooks ---------------------------------------------------------------------------------

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
on_each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
LONGEST_CELL = 12
FORBIDDEN_CODE = re.compile(
    r"\b(Output|interact|interactive|interactive_output|clear_output)\s*\(|NBVAL_|^\s*[!%]", re.M
)
FORBIDDEN_TEXT = re.compile(r"/(home|root|tmp|work|Users)/\w|[A-Z]:\\\\?Users|site-packages|\b0x[0-9a-f]{6,}")


def code_cells(path: Path) -> list[dict]:
    """Return the code cells of a notebook."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def texts_of(cell: dict) -> Iterator[str]:
    """Yield what a reader sees of a cell as text."""
    yield "".join(cell["source"])
    for output in cell.get("outputs", ()):
        yield "".join(output.get("text", ""))
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield "".join(content)


def test_there_are_notebooks_to_check():
    """An empty folder would pass everything below."""
    assert NOTEBOOKS
    assert all(re.fullmatch(r"\d\d_[a-z_]+", path.stem) for path in NOTEBOOKS)


@on_each_notebook
def test_notebook_was_run_from_top_to_bottom(path):
    """Outputs that were never made are never compared by nbval."""
    cells = code_cells(path)
    assert all("".join(cell["source"]).strip() for cell in cells), "an empty cell"
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


@on_each_notebook
def test_notebook_shows_no_error_and_no_warning(path):
    """Nothing went wrong when it was stored."""
    outputs = [output for cell in code_cells(path) for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"] == []


@on_each_notebook
def test_notebook_code_can_be_compared_strictly(path):
    """No trailing semicolon, no captured output, no magic and no exemption from the comparison."""
    for cell in code_cells(path):
        source = "".join(cell["source"])
        assert not source.rstrip().endswith(";"), source
        assert not FORBIDDEN_CODE.search(source), source
        assert not [tag for tag in cell["metadata"].get("tags", ()) if tag.startswith(("nbval", "raises"))], source


@on_each_notebook
def test_notebook_names_nothing_of_the_machine_it_was_run_on(path):
    """No paths and no memory addresses, in the prose, the code or the outputs."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for text in texts_of(cell):
            assert not FORBIDDEN_TEXT.search(text), text


@on_each_notebook
def test_notebook_holds_no_machinery_and_checks_its_claims(path):
    """Short cells: longer code belongs in the package. Claims in the prose are asserted."""
    sources = ["".join(cell["source"]) for cell in code_cells(path)]
    lengths = [sum(1 for line in source.splitlines() if line.strip()) for source in sources]
    assert max(lengths) <= LONGEST_CELL, sources[lengths.index(max(lengths))]
    assert any(re.search(r"^\s*assert\b", source, re.M) for source in sources)


@on_each_notebook
def test_checks_of_a_notebook_are_folded(path):
    """Who reads sees that there are checks; who wants to know opens them."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    (heading,) = [number for number, text in enumerate(texts) if re.search(r"^## Checks$", text, re.M)]
    checks = [cell for cell in cells[heading:] if cell["cell_type"] == "code"]
    assert checks
    assert all(cell["metadata"].get("jupyter", {}).get("source_hidden") for cell in checks)


@on_each_notebook
def test_notebook_links_lead_to_files(path):
    """A reader who follows a link to another notebook, a picture or a table of data finds it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]
    assert [link for link in links if link and not (path.parent / link).is_file()] == []


@on_each_notebook
def test_notebook_shows_its_widgets_without_a_kernel(path):
    """A plain rendering has a picture for every explorer, and the state for a renderer that knows widgets."""
    for cell in code_cells(path):
        kinds = [output.get("data", {}).keys() for output in cell["outputs"]]
        if any("application/vnd.jupyter.widget-view+json" in each for each in kinds):
            assert any("image/png" in each for each in kinds), "".join(cell["source"])
            assert "widgets" in json.loads(path.read_text(encoding="utf-8"))["metadata"]


# --- versions and Binder -----------------------------------------------------------------------

LOCK = ROOT / "binder" / "requirements.txt"


def locked() -> dict[str, list[Requirement]]:
    """Return the locked versions, one for each environment that needs its own, by package."""
    found: dict[str, list[Requirement]] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", " ", "-")):
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_every_dependency_is_locked_within_its_bounds():
    """`.ci/lock` was run after the last change of the dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    pins = locked()
    for text in [*project["dependencies"], *extras["lab"], *extras["test"], *extras["dask"]]:
        wanted = Requirement(text)
        for pin in pins[canonicalize_name(wanted.name)]:
            (version,) = (one.version for one in pin.specifier if one.operator == "==")
            assert wanted.specifier.contains(version), f"{text} is locked as {pin}"


def test_lock_names_no_address_and_ends_with_the_project_itself():
    """It works with whatever package index a machine uses."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "-e ."
    assert not [line for line in lines if "://" in line or line.lstrip().startswith("--")]


def test_binder_builds_what_the_tests_use(monkeypatch):
    """Binder's own tool reads every file of the folder: Python 3.12, and the locked versions."""
    app_module = pytest.importorskip("repo2docker.app", reason="jupyter-repo2docker is not installed")
    monkeypatch.chdir(ROOT)
    app = app_module.Repo2Docker()
    packs = (kind(base_image=app.base_image) for kind in app.buildpacks)
    pack = next(pack for pack in packs if pack.detect())
    pack.platform = app.platform
    dockerfile = pack.render({"NB_USER": "jovyan", "NB_UID": "1000"})

    assert type(pack).__name__ == "PythonBuildPack"
    assert Path(pack.binder_dir).name == "binder"
    assert pack.python_version == "3.12"
    assert {path.name for path in (ROOT / "binder").iterdir()} == {"requirements.txt", "runtime.txt"}
    (install,) = re.finditer(r"^RUN .*pip install .*-r \"binder/requirements.txt\"$", dockerfile, re.M)
    copy = re.search(r"^COPY .*src/ \${REPO_DIR}/$", dockerfile, re.M)
    assert copy is not None
    assert copy.start() < install.start(), "-e . needs the project itself"
