"""The report in a real browser: quiet, offline, drawn, and readable on a screen and a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from forecast_report_example import example_forecast_run
from playwright.sync_api import Browser, Page, sync_playwright
from recommend_report_example import example_recommend_run
from report_example import example_run
from strategy_report_example import (
    example_estimators,
    example_map,
    example_strategy_query,
    example_strategy_run,
)

from edpipe.evaluation.report import write_report
from edpipe.settings import load_settings

pytestmark = pytest.mark.contract

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NUM_FIGURES = 31
SMALLEST_TEXT = 9.0

# Marks of every visible drawing: how many there are, and how many cover no pixel at all.
DRAWN = """
() => [...document.querySelectorAll('figure')].map(figure => {
  const drawings = [...figure.querySelectorAll('svg[role=img]')];
  const shown = drawings.filter(svg => svg.getBoundingClientRect().width);
  const marks = shown.flatMap(svg => [...svg.querySelectorAll('.mark')]);
  const sizes = marks.map(mark => mark.getBoundingClientRect()).map(box => Math.max(box.width, box.height));
  const colors = marks.map(mark => getComputedStyle(mark)).map(style => [style.fill, style.stroke].join());
  return {
    name: figure.id, drawings: shown.length, marks: marks.length,
    visible: sizes.filter(size => size > 1).length,
    uncolored: colors.filter(color => color === 'none,none').length,
  };
})
"""
TEXT_SIZES = """
() => [...document.querySelectorAll('figure svg[role=img] text')].map(text => {
  const svg = text.ownerSVGElement;
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return scale * parseFloat(getComputedStyle(text).fontSize);
}).filter(size => size > 0)
"""
CUT_TEXT = """
() => [...document.querySelectorAll('figure svg[role=img] text')]
  .map(text => [text.getBoundingClientRect(), text.ownerSVGElement.parentElement.getBoundingClientRect()])
  .filter(([box, room]) => box.width && (box.left < room.left - 8 || box.right > room.right + 8))
  .length
"""
# Tables that stand in the text; the numbers behind a plot may be many.
SCROLLING = """
() => [...document.querySelectorAll('section > .scroll, section > details .scroll')]
  .filter(region => region.scrollWidth > region.clientWidth + 1)
  .map(region => region.getAttribute('aria-label'))
"""
# How far the first cell of each row of a table is from the left of its region when that is scrolled.
FIRST_CELLS = """
() => [...document.querySelectorAll('section > .scroll')].flatMap(region => {
  region.scrollLeft = region.scrollWidth
  const left = region.getBoundingClientRect().left
  return [...region.querySelectorAll('tbody th')].map(cell => cell.getBoundingClientRect().left - left)
})
"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    settings = load_settings("smoke", file=home / "edpipe.toml", home=home, progress="none")
    example_map(settings.clusters_dir)
    example_estimators(settings.embeddings_dir)
    query = example_strategy_query()

    def with_long_ids(sql: str) -> pl.DataFrame:
        rows = query(sql)
        return rows.with_columns(
            ("algebra/Wn4Q" + pl.col(name) + "MWQmGOW").alias(name)
            for name in {"student_id"} & set(rows.columns)
        )

    return write_report(
        settings,
        run_dir=example_run(home / "runs"),
        strategy_run_dir=example_strategy_run(home / "runs"),
        forecast_run_dir=example_forecast_run(home / "runs"),
        recommend_run_dir=example_recommend_run(home / "runs"),
        query=with_long_ids,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(NAMES)})")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(params=[1280, 400], ids=["screen", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    page = context.new_page()
    page.problems = []
    page.requests = []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))

    def watch(route):
        page.requests.append(route.request.url)
        route.continue_() if route.request.url.startswith("file:") else route.abort()

    page.route("**/*", watch)
    page.goto(report.as_uri())
    yield page
    context.close()


def test_the_console_stays_empty_and_no_request_leaves(page, report):
    assert page.problems == []
    assert page.requests == [report.as_uri()]


def test_every_plot_is_drawn_once_with_visible_colored_marks(page):
    figures = page.evaluate(DRAWN)
    assert len(figures) == NUM_FIGURES
    for figure in figures:
        assert figure["drawings"] == 1, figure
        assert figure["marks"] > 2, figure
        assert figure["visible"] > 0.8 * figure["marks"], figure
        assert figure["uncolored"] == 0, figure


def test_the_page_does_not_scroll_sideways_even_with_all_numbers_open(page):
    assert page.evaluate(OVERFLOW) <= 0
    page.evaluate("() => document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert page.evaluate(OVERFLOW) <= 0


@pytest.mark.parametrize("page", [1280], indirect=True)
def test_tables_fit_on_a_screen(page):
    page.evaluate("() => document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert page.evaluate(SCROLLING) == []


@pytest.mark.parametrize("page", [400], indirect=True)
def test_the_first_column_stays_in_sight_where_a_table_scrolls(page):
    assert page.evaluate(SCROLLING) != []
    assert all(abs(left) < 1 for left in page.evaluate(FIRST_CELLS))


def test_words_in_plots_are_large_enough_and_not_cut_off(page):
    sizes = page.evaluate(TEXT_SIZES)
    assert len(sizes) > 100
    assert min(sizes) >= SMALLEST_TEXT
    assert page.evaluate(CUT_TEXT) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(browser, report, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(report.as_uri())
    styles = "document.body, document.querySelector('figcaption'), document.querySelector('a[href]')"
    ink = page.evaluate(f"() => [{styles}].map(element => getComputedStyle(element).color)")
    paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.close()
    # WCAG 2.1, 1.4.3: 4.5 to 1 for text.
    assert [contrast(color, paper) >= 4.5 for color in ink] == [True, True, True]


def contrast(one: str, other: str) -> float:
    """Return the WCAG contrast ratio of two ``rgb(…)`` colors."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of an ``rgb(…)`` color."""
    parts = [int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
