"""Draw the pictures of the README again; run by scripts/pictures."""

import os
import shutil
import tempfile
from pathlib import Path

from click.testing import CliRunner
from PIL import Image
from playwright import sync_api

import dirtmodel as dm
from dirtmodel.cli import main
from dirtmodel.draw.sheets import Layout

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def keep(
    image: Image.Image,
    name: str,
    width: int,
    # Maximum coverage keeps the colours of rings, which have few pixels.
    method: Image.Quantize = Image.Quantize.MAXCOVERAGE,
) -> None:
    """Save a picture small enough for a repository."""
    height = round(image.height * width / image.width)
    small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    IMAGES.mkdir(parents=True, exist_ok=True)
    few = small.quantize(method=method, dither=Image.Dither.NONE)
    few.save(IMAGES / name, optimize=True)
    print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size / 1000:.0f} KB")


def photograph(page: Path, out: Path) -> None:
    """Open a report in Chromium, and save a screenshot of its part about exclusions."""
    with sync_api.sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        # Chromium refuses to run in its sandbox as root.
        browser = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=os.geteuid() != 0
        )
        shown = browser.new_page(viewport={"width": 1220, "height": 900})
        shown.goto(page.as_uri())
        top = shown.evaluate("document.querySelector('.gallery').getBoundingClientRect().top")
        clip = sync_api.FloatRect(x=0, y=top - 500, width=1220, height=1180)
        shown.screenshot(path=out, full_page=True, clip=clip)
        browser.close()


def draw() -> None:
    """Run the demo and shrink its pictures; draw a narrower sheet, which stays readable."""
    with tempfile.TemporaryDirectory() as folder:
        CliRunner().invoke(main, ["demo", folder])
        keep(Image.open(f"{folder}/annotated.png"), "annotated.png", 520)
        keep(Image.open(f"{folder}/clicks.png"), "clicks.png", 840)
        failures = dm.Images(step=dm.Step.FMAP_COREGISTRATION, status="excluded")
        layout = Layout(columns=6, rows=3, tile_width=150, tile_height=112)
        with dm.open(f"{folder}/dirt.db") as db:
            page = next(iter(dm.sheet(db, failures, layout=layout)))
            rule = dm.Exclusions(step=dm.Step.FMAP_COREGISTRATION)
            dm.report(db, f"{folder}/fmap.html", rule=rule, pseudonyms=True)
        keep(page, "failures.png", page.width)
        photograph(Path(folder, "fmap.html"), Path(folder, "report.png"))
        keep(Image.open(f"{folder}/report.png"), "report.png", 840, Image.Quantize.MEDIANCUT)


draw()
