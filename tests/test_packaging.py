"""The wheel, installed outside the checkout: its content, a load and an upgrade."""

import email
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import database, sample

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `python -m build --wheel` does, with the backend of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling import build; print(build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, with the dependencies of this environment; return the programs."""
    folder = tmp_path_factory.mktemp("environment")
    builder = venv.EnvBuilder(with_pip=False)
    builder.create(folder)
    programs = folder / "bin"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", f"--python={programs / 'python'}", "install"),
            *("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel),
        ],
        check=True,
    )
    inside = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # A path after its own, so that the packages of the wheel's environment come first; .pth files
    # in that path, such as an editable install of the checkout, have no effect.
    Path(inside, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def run(programs: Path, *args: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [programs / str(args[0]), *map(str, args[1:])],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_contains_the_package_and_its_migrations_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    migrations = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    inside = {Path(name).name for name in names if "dirtmodel/migrations/versions/" in name}
    assert inside == migrations
    assert {"dirtmodel/py.typed", "dirtmodel/migrations/env.py"} <= set(names)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "dirtmodel").rglob("*.py")}
    assert modules <= set(names)
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "dirtmodel").rglob("templates/*")}
    assert templates
    assert templates <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "dirtmodel",
        f"dirtmodel-{dm.__version__}.dist-info",
    }
    assert [name for name in names if "test" in name or name.endswith((".pyc", ".parquet"))] == []


def test_the_wheel_states_its_version_licence_and_requirements(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == dm.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    core = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert {need.split(">")[0] for need in core} == {
        *("sqlalchemy", "alembic", "pyarrow", "pillow", "click", "numpy", "scipy", "tabulate"),
        *("wcwidth", "matplotlib", "jinja2", "manimgx-fonts", "noto-cjk-sans-jp-regular"),
    }


def test_the_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    program = "import dirtmodel, sys; print(dirtmodel.__file__, dirtmodel.__version__)"
    done = run(installed, "python", "-c", program, folder=tmp_path)
    assert done.stderr == ""
    path, version = done.stdout.split()
    assert Path(path).is_relative_to(installed.parent)
    assert version == dm.__version__


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    small = (
        "import functools; from dirtmodel import cli, sample; sample.write_release = "
        "functools.partial(sample.write_release, picture_size=(96, 72), frames=4); cli.main()"
    )

    done = run(installed, "python", "-c", small, "demo", "here", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "FMAP_COREGISTRATION" in done.stdout
    info = run(installed, "dirtmodel", "info", "--db", "here/dirt.db", folder=tmp_path)
    assert f"revision  {database.known_revisions()[-1]}\n" in info.stdout


def test_the_wheel_upgrades_an_older_database(installed: Path, tmp_path: Path) -> None:
    release = sample.write_release(tmp_path, subjects=2, slices=1, pictures="tiny")
    dm.load(release, tmp_path / "dirt.db")
    with dm.open(tmp_path / "dirt.db") as session:
        n_images = session.scalar(sa.select(sa.func.count(dm.Image.id)))
    dm.upgrade(tmp_path / "dirt.db", "0002")

    refused = run(installed, "dirtmodel", "coverage", folder=tmp_path)
    upgraded = run(installed, "dirtmodel", "upgrade", folder=tmp_path)
    answered = run(installed, "dirtmodel", "info", folder=tmp_path)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith("run: dirtmodel upgrade --db dirt.db\n")
    assert (upgraded.returncode, upgraded.stdout) == (0, "")
    assert f"{n_images} image" in answered.stdout
