from __future__ import annotations

import pytest

from edpipe.raw import landed
from edpipe.sources.ednet import ingest_ednet
from edpipe.sources.synthetic import write_ednet

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("layout", "licence"), [("zip", "none: synthetic students"), ("folder", "CC BY-NC 4.0")]
)
def test_only_archives_that_say_so_are_free_of_ednets_licence(layout, licence, tmp_path, settings):
    """A folder cannot say what it is, so it is taken for EdNet's."""
    made = write_ednet(tmp_path / "made", num_students=20, num_items=40, levels=("kt1",), layout=layout)
    ingest_ednet([made.folder], settings)
    assert {manifest.licence for manifest in landed(settings.raw_dir)} == {licence}
