"""Draw the pictures of the README anew; run by scripts/pictures."""

import tempfile
from pathlib import Path

from click.testing import CliRunner
from PIL import Image

import dirtmodel as dm
from dirtmodel.cli import main
from dirtmodel.draw.sheets import Layout

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def keep(image: Image.Image, name: str, width: int) -> None:
    """Save a picture small enough for a repository."""
    height = round(image.height * width / image.width)
    small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    IMAGES.mkdir(parents=True, exist_ok=True)
    # By maximum coverage, because rings have few pixels and must keep their colours.
    few = small.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(IMAGES / name, optimize=True)
    print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size / 1000:.0f} KB")


def draw() -> None:
    """Run the demo and shrink what it drew; its sheet is too wide to be read when shrunk."""
    with tempfile.TemporaryDirectory() as folder:
        CliRunner().invoke(main, ["demo", folder])
        keep(Image.open(f"{folder}/annotated.png"), "annotated.png", 520)
        keep(Image.open(f"{folder}/clicks.png"), "clicks.png", 840)
        failures = dm.Images(step=dm.Step.FMAP_COREGISTRATION, status="excluded")
        layout = Layout(columns=6, rows=3, tile_width=150, tile_height=112)
        with dm.open(f"{folder}/dirt.db") as db:
            page = next(iter(dm.sheet(db, failures, layout=layout)))
        keep(page, "failures.png", page.width)


draw()
