"""Which room may import which: data flows one way."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dirtmodel"

ROOMS = [
    name.removesuffix("/").removesuffix(".py")
    for name in re.findall(r"(?m)^\| `([\w/.]+)` \|", (ROOT / "CONTRIBUTING.md").read_text())
]
"""The rooms in the order of CONTRIBUTING.md; each may import from those before it."""

NARROW = {
    "release": {"dirtmodel.draw.header", "dirtmodel.draw.decode"},
    "outputs": {"dirtmodel.draw.header"},
}
"""These rooms may use the part of `draw` that does not need Pillow; one of them decodes on request.
"""

HEAVY = {
    "alembic",
    "PIL",
    "matplotlib",
    "pyarrow",
    "scipy",
    "tabulate",
    "jinja2",
    "pandas",
    "polars",
    "duckdb",
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """Return the room of a module: dirtmodel.queries.coverage → queries; dirtmodel → dirtmodel."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def may_import(room: str) -> set[str]:
    """Return the rooms that a room may import from, itself included."""
    # The package itself imports a room when one of its public names is used.
    return set(ROOMS) if room == "dirtmodel" else {*ROOMS[: ROOMS.index(room) + 1]}


def name_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE.parent).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return ".".join(parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """Return the modules that a module imports, including imports in functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where an arrow points"
            assert node.module is not None
            for alias in node.names:
                yield submodule(node.module, alias.name)


def submodule(module: str, name: str) -> str:
    """`from dirtmodel import database` imports a module, `from dirtmodel.x import f` a name."""
    folder = PACKAGE.parent.joinpath(*module.split("."))
    if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file():
        return f"{module}.{name}"
    return module


def at_import(tree: ast.Module) -> Iterator[str]:
    """Return the modules that are imported when a module is imported."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from imported(node)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_from_rooms_listed_above_it(path: Path) -> None:
    module = name_of(path)
    ours = [name for name in imported(ast.parse(path.read_text())) if name.startswith("dirtmodel")]
    forbidden = [name for name in ours if room_of(name) not in may_import(room_of(module))]
    assert forbidden == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_light_rooms_use_only_the_light_part_of_draw(path: Path) -> None:
    allowed = NARROW.get(room_of(name_of(path)))
    used = [n for n in imported(ast.parse(path.read_text())) if n.startswith("dirtmodel.draw")]
    assert allowed is None or set(used) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_packages_are_imported_where_they_are_needed(path: Path) -> None:
    # The modules that draw are themselves imported where they are needed.
    rooms_of_their_own = {"draw": {"PIL", "scipy"}, "sample": {"PIL"}}
    allowed = rooms_of_their_own.get(room_of(name_of(path)), set())
    tops = {name.partition(".")[0] for name in at_import(ast.parse(path.read_text()))}
    assert tops & HEAVY <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_session_is_not_imported_from_sqlalchemy(path: Path) -> None:
    taken = [
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sqlalchemy")
        for alias in node.names
    ]
    assert "Session" not in taken


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(name_of(path)) != "cli"], ids=name_of
)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert calls & {"print", "exit", "sys.exit", "os._exit", "click.echo"} == set()


def test_every_room_is_in_the_table() -> None:
    assert {room_of(name_of(path)) for path in MODULES} == {*ROOMS, "dirtmodel"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_exceeds_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_package_lists_its_public_names() -> None:
    # Written as a list, and not computed, because type checkers read it.
    import dirtmodel

    forwarded = {*dirtmodel._HOME, *dirtmodel._MODULES}
    assert dirtmodel.__all__ == sorted({"__version__", *forwarded})


def test_all_errors_and_models_are_public() -> None:
    import dirtmodel
    from dirtmodel import errors
    from dirtmodel.models import Base

    family = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.DirtmodelError)
    }
    mapped = {mapper.class_.__name__ for mapper in Base.registry.mappers}
    assert family | mapped <= set(dirtmodel.__all__)
