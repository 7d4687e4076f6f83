"""Which room may import which: data flows one way."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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


TREES = {name_of(path): ast.parse(path.read_text()) for path in MODULES}


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


def test_a_room_imports_only_from_rooms_listed_above_it() -> None:
    forbidden = [
        (module, name)
        for module, tree in TREES.items()
        for name in imported(tree)
        if name.startswith("dirtmodel") and room_of(name) not in may_import(room_of(module))
    ]

    assert forbidden == []


def test_light_rooms_use_only_the_light_part_of_draw() -> None:
    forbidden = [
        (module, name)
        for module, tree in TREES.items()
        if (allowed := NARROW.get(room_of(module))) is not None
        for name in imported(tree)
        if name.startswith("dirtmodel.draw") and name not in allowed
    ]

    assert forbidden == []


def test_heavy_packages_are_imported_where_they_are_needed() -> None:
    # The modules that draw are themselves imported where they are needed.
    rooms_of_their_own = {"draw": {"PIL", "scipy"}, "sample": {"PIL"}}
    forbidden = [
        (module, name)
        for module, tree in TREES.items()
        for name in at_import(tree)
        if name.partition(".")[0] in HEAVY - rooms_of_their_own.get(room_of(module), set())
    ]

    assert forbidden == []


def test_session_is_not_imported_from_sqlalchemy() -> None:
    importing = [
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sqlalchemy")
        if "Session" in [alias.name for alias in node.names]
    ]

    assert importing == []


def test_only_the_command_line_prints_or_exits() -> None:
    calling = [
        (module, ast.unparse(node.func))
        for module, tree in TREES.items()
        if room_of(module) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        if ast.unparse(node.func) in {"print", "exit", "sys.exit", "os._exit", "click.echo"}
    ]

    assert calling == []


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in TREES} == {*ROOMS, "dirtmodel"}


def test_no_file_exceeds_400_lines() -> None:
    n_lines = {path: len(path.read_text().splitlines()) for path in MODULES}

    assert [path for path, n in n_lines.items() if n > 400] == []


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
