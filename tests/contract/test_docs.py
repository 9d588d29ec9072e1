"""What the documentation says can be done: every query answers, every command line is understood."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import edpipe
from edpipe.cli import app
from edpipe.settings import Settings, load_settings
from edpipe.sources.synthetic import draw_tutor_world, write_ednet, write_kddcup

# SQLMesh 0.236 defines its models in a way that Pydantic 2.13 and later announce to remove.
pytestmark = [pytest.mark.contract, pytest.mark.filterwarnings("ignore:.json_encoders. is deprecated")]

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
SHELLS = ("bash", "sh", "shell", "console")
# No row is the good answer to these, or the answer where no model is.
MAY_BE_EMPTY = ("from core.reconciliation", "from core.rejects", "from ops.drift", "from ops.promotions")
ENDS_OF_A_COMMAND = ("|", ">", "<", "&&", ";", "#", "2>", ">>")


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """Yield the place and text of every code block in one of the languages."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            if found[1] in languages:
                line = text[: found.start()].count("\n") + 2
                yield f"{page.relative_to(REPOSITORY)}:{line}", found[2]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the place and arguments of every ``edpipe`` command line in the documentation."""
    for place, block in blocks(*SHELLS):
        for shown in block.replace("\\\n", " ").splitlines():
            line = shown.removeprefix("$ ").strip()
            if line.startswith("edpipe "):
                words = shlex.split(line, comments=True)
                end = next((at for at, word in enumerate(words) if word in ENDS_OF_A_COMMAND), len(words))
                yield f"{place} {line}", words[1:end]


def by_place(found: Iterator[tuple[str, object]]) -> list[object]:
    return [pytest.param(value, id=place) for place, value in found]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A synthetic EdNet and the log of a synthetic tutor, ingested, built and published."""
    home = tmp_path_factory.mktemp("docs")
    settings = load_settings("smoke", file=home / "edpipe.toml", home=home / "data", progress="none")
    archives = home / "archives"
    archives.mkdir()
    write_ednet(archives, num_students=120, num_items=120, unanswered_share=0.01)
    edpipe.ingest("ednet", [archives], settings)
    write_kddcup(home / "tutor", draw_tutor_world(30, 3, 6, 16, strategies_per_problem=4, departure_rate=0.3))
    edpipe.ingest("kddcup", [home / "tutor"], settings)
    edpipe.build(settings)
    return settings


def test_there_are_ten_queries():
    assert sum("ten-queries" in place for place, _ in blocks("sql")) == 10


@pytest.mark.parametrize("query", by_place(blocks("sql")))
def test_query_answers(query, published):
    rows = edpipe.sql(query, published)
    assert len(rows) > 0 or any(words in query for words in MAY_BE_EMPTY)
    assert len(rows) <= 200
    empty = [name for name in rows.columns if len(rows) and rows[name].is_null().all()]
    assert empty == []


@pytest.mark.parametrize("arguments", by_place(commands()))
def test_command_line_is_understood(arguments):
    root = typer.main.get_command(app)
    with root.make_context("edpipe", list(arguments)) as context:
        rest = [*context._protected_args, *context.args]
        name, command, after = root.resolve_command(context, rest)
        with command.make_context(name, after, parent=context):
            pass


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{page.relative_to(REPOSITORY)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_reference_of_tables_is_up_to_date():
    script = REPOSITORY / "docs" / "reference" / "make_tables.py"
    code = f"import runpy; print(runpy.run_path({str(script)!r})['render']())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    kept = script.with_name("tables.md").read_text("utf-8")
    assert kept == made.removesuffix("\n"), "run `python docs/reference/make_tables.py`"
