"""The pages in Chromium: at three widths, in the dark theme and in print, with hostile data."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from playwright import sync_api

import dirtmodel as dm
from dirtmodel import sample
from dirtmodel.differences import page as diff_page

SCRIPT = "<script>window.owned = 1</script>"
IMAGE = "<img src=x onerror='window.owned = 1'>"
LONG = "averyveryverylongname" * 6
PAPER = 688
"""Pixels between the margins of A4."""

OVERFLOWING = """() => {
  const wide = document.documentElement.scrollWidth - innerWidth;
  const beyond = [...document.querySelectorAll("body *")].filter(element =>
    !element.closest(".scroll") && element.getBoundingClientRect().right > innerWidth + 1);
  return wide > 0 || beyond.length ? beyond.map(e => e.outerHTML.slice(0, 120)) : [];
}"""

CUT = """() => [...document.querySelectorAll(".scroll")]
  .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel)"""

# Paints the backgrounds of an element and its ancestors on one pixel, then the colour of its text.
FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const known = new Map();
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const contrast = colours => {
    const key = colours.join();
    if (!known.has(key)) {
      const seen = colours.map(colour => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return light(canvas.getImageData(0, 0, 1, 1).data);
      });
      const [text, paper] = [seen.at(-1), seen.at(-2)];
      known.set(key, (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05));
    }
    return known.get(key);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    if (["title", "desc"].includes(element.tagName) || !element.getClientRects().length) continue;
    const colours = ["white"];
    const around = [];
    for (let one = element; one; one = one.parentElement) around.unshift(one);
    for (const one of around) colours.push(getComputedStyle(one).backgroundColor);
    const style = getComputedStyle(element);
    colours.push(element instanceof SVGElement ? style.fill : style.color);
    const ratio = contrast(colours);
    if (ratio < 4.5) found.push([ratio, element.outerHTML.slice(0, 120)]);
  }
  return found;
}"""


def hostile(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Put markup into every text of a release that a page shows, and fail all images."""
    rows = {name: table.to_pylist() for name, table in tables.items()}
    for n, session in enumerate(rows["session"]):
        session["user"] = [None, SCRIPT, IMAGE, LONG][n % 4]
    for table in ("rating", "coordinate"):
        for row in rows[table]:
            row["notes"] = SCRIPT
    for rating in rows["rating"]:
        rating["rating"] = 2
    for image in rows["image"]:
        image["file1"] = f"{image['file1'].partition('_desc')[0]}_desc-{LONG}{IMAGE}.nii.gz"
    return {name: pa.Table.from_pylist(rows[name], table.schema) for name, table in tables.items()}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    tables = sample.make_tables(subjects=2, slices=1, picture_size=(64, 48), frames=2, reviewed=1.0)
    for name, made in (("old", tables), ("new", hostile(tables))):
        release = sample.write_tables(made, folder / name)
        dm.load(release, folder / f"{name}.db", label=f"{name} {SCRIPT} {LONG}")
    dm.report(folder / "new.db", folder / "report.html", title=f"{IMAGE} {LONG}")
    with (
        dm.diff(folder / "old.db", folder / "new.db") as found,
        (folder / "diff.html").open("wb") as file,
    ):
        diff_page.write(found, file, most_pictures=6)
    return {name: folder / f"{name}.html" for name in ("report", "diff")}


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed: pages were not opened in a browser")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program)
        yield running
        running.close()


@pytest.fixture(scope="module", params=["report", "diff"])
def opened(
    request: pytest.FixtureRequest, browser: sync_api.Browser, pages: dict[str, Path]
) -> Iterator[sync_api.Page]:
    """Open a page with all its parts unfolded; the attribute `fetched` lists its requests."""
    page = browser.new_page()
    fetched: list[str] = []
    page.on("request", lambda made: fetched.append(made.url))
    page.goto(pages[request.param].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.fetched = fetched  # type: ignore[attr-defined]  # read by a test
    yield page
    page.close()


def show(page: sync_api.Page, width: int, **media: Any) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(**{"media": "screen", "color_scheme": "light"} | media)


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_nothing_overflows(opened: sync_api.Page, width: int) -> None:
    show(opened, width)

    assert opened.evaluate(OVERFLOWING) == []


def test_no_table_is_cut_on_paper(opened: sync_api.Page) -> None:
    show(opened, PAPER, media="print")

    assert opened.evaluate(OVERFLOWING) == []
    assert opened.evaluate(CUT) == []


@pytest.mark.parametrize(
    "media",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"media": "print"}],
    ids=["light", "dark", "paper"],
)
def test_contrast_meets_wcag_aa(opened: sync_api.Page, media: dict[str, Any]) -> None:
    show(opened, 800, **media)

    assert opened.evaluate(FAINT) == []


def test_every_picture_and_plot_has_a_text(opened: sync_api.Page) -> None:
    alternatives = opened.eval_on_selector_all("img", "all => all.map(one => one.alt.trim())")
    plots = opened.eval_on_selector_all(
        "svg", "all => all.map(one => ['title', 'desc'].map(n => one.querySelector(n).textContent))"
    )

    assert alternatives
    assert all(alternatives)
    assert all(title.strip() and text.strip() for title, text in plots)


def test_hostile_data_is_inert_and_nothing_is_fetched(opened: sync_api.Page) -> None:
    assert opened.evaluate("window.owned") is None
    assert opened.evaluate("document.querySelectorAll('script, img[src=x]').length") == 0
    assert SCRIPT in opened.inner_text("body")
    requests = opened.fetched  # type: ignore[attr-defined]  # set by the fixture
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in requests) == 1


def test_pictures_are_shown(opened: sync_api.Page) -> None:
    widths = opened.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")

    assert widths
    assert min(widths) > 0
