from pathlib import Path

import pytest
import torch

from models.batches import ImpressionBatch
from models.diffumin import build_diffumin, config_from_dict

CHECKPOINTS = sorted((Path(__file__).parent / "diffumin").glob("*_format1.pt"))


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_a_checkpoint_of_an_earlier_version_still_scores_the_same(path):
    content = torch.load(path, weights_only=True)
    model = build_diffumin(config_from_dict(content["config"])).eval()
    model.load_state_dict(content["state_dict"])
    with torch.no_grad():
        logits = model(ImpressionBatch(**content["batch"]))
    torch.testing.assert_close(logits, content["logits"], rtol=1e-4, atol=1e-5)


def test_there_is_a_checkpoint_of_each_kind():
    assert {path.stem.split("_")[0] for path in CHECKPOINTS} == {"diffusion", "distilled", "din", "twin"}
