"""Which room may import which: data flows one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dirtmodel"

ALLOWED = {
    "errors": set(),
    "_version": set(),
    # How an ORM image shows itself is mixed in from upstream, so that the models need no queries;
    # it loads the pictures' part with Pillow only when a picture is looked at.
    "showing": {"draw", "errors"},
    "models": {"showing", "errors"},
    "entities": set(),
    "draw": {"errors"},
    # DIRT's own database is a release, too.
    "release": {"errors", "models", "entities", "draw", "database"},
    "database": {"errors", "models"},
    "sql": {"database", "errors", "models"},
    "loading": {"release", "database", "models", "entities", "errors", "_version"},
    "queries": {"models", "errors"},
    # A release folder is a side, too, and is loaded for it; reports leave through outputs.
    "differences": {
        "models",
        "database",
        "errors",
        "queries",
        "loading",
        "draw",
        "outputs",
    },
    # The way back from loading: the layout is that of releases.
    "exporting": {"errors", "models", "database", "release"},
    "browse": {"database", "errors", "models", "draw"},
    "outputs": {"errors", "draw"},
    "viewing": {"errors", "models", "queries", "draw", "outputs"},
    "sample": set(),
    "__main__": {"cli"},
    "cli": {
        "errors",
        "models",
        "entities",
        "draw",
        "release",
        "database",
        "loading",
        "queries",
        "differences",
        "sql",
        "exporting",
        "browse",
        "outputs",
        "viewing",
        "sample",
        "_version",
    },
    # The package itself only forwards names, and imports a room when one of its names is used.
    "dirtmodel": {
        "_version",
        "errors",
        "models",
        "database",
        "release",
        "sql",
        "loading",
        "queries",
        "viewing",
        "differences",
        "exporting",
    },
}
"""Room → what it may import; `dirtmodel` is the package's own `__init__` (its version)."""

NARROW = {"release": "dirtmodel.draw.header", "outputs": "dirtmodel.draw.header"}
"""Of `pictures`, these may use the part without Pillow only."""

HEAVY = {
    "alembic",
    "PIL",
    "matplotlib",
    "pyarrow",
    "scipy",
    "tabulate",
    "pandas",
    "polars",
    "duckdb",
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """dirtmodel.queries.coverage → queries; dirtmodel → dirtmodel."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def name_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE.parent).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return ".".join(parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that are imported anywhere in a module, functions included."""
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
    """Modules that are imported as soon as a module is."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from imported(node)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_rooms_import_only_what_lies_upstream(path: Path) -> None:
    module = name_of(path)
    room = room_of(module)
    ours = [name for name in imported(ast.parse(path.read_text())) if name.startswith("dirtmodel")]
    forbidden = [name for name in ours if room_of(name) not in {room, *ALLOWED[room]}]
    assert forbidden == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_light_rooms_use_only_the_light_part_of_pictures(path: Path) -> None:
    allowed = NARROW.get(room_of(name_of(path)))
    used = [n for n in imported(ast.parse(path.read_text())) if n.startswith("dirtmodel.draw")]
    assert allowed is None or set(used) <= {allowed}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_arrows_make_no_circle(path: Path) -> None:
    room = room_of(name_of(path))
    reached, waiting = set(), [*(ALLOWED[room] - {"dirtmodel"})]
    while waiting:
        following = waiting.pop()
        if following not in reached:
            reached.add(following)
            waiting += ALLOWED[following] - {"dirtmodel"}
    assert room not in reached


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_heavy_is_imported_where_it_is_needed(path: Path) -> None:
    # The modules that draw are themselves imported where they are needed.
    rooms_of_their_own = {"draw": {"PIL", "scipy"}, "sample": {"PIL"}}
    allowed = rooms_of_their_own.get(room_of(name_of(path)), set())
    tops = {name.partition(".")[0] for name in at_import(ast.parse(path.read_text()))}
    assert tops & HEAVY <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_takes_the_name_session_from_sqlalchemy(path: Path) -> None:
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
    assert {room_of(name_of(path)) for path in MODULES} <= set(ALLOWED)


def test_the_package_lists_what_it_forwards() -> None:
    # Written out, not made of the table: type checkers read it.
    import dirtmodel

    forwarded = {*dirtmodel._HOME, *dirtmodel._MODULES}
    assert dirtmodel.__all__ == sorted({"__version__", *forwarded})


def test_what_users_meet_is_forwarded() -> None:
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
