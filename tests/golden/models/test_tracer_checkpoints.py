from pathlib import Path

import pytest
import torch

from models.batches import InteractionBatch
from models.tracing import build_tracer, config_from_dict

CHECKPOINTS = sorted(Path(__file__).parent.glob("*_format1.pt"))


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_a_checkpoint_of_an_earlier_version_still_answers_the_same(path):
    content = torch.load(path, weights_only=True)
    model = build_tracer(config_from_dict(content["config"])).eval()
    model.load_state_dict(content["state_dict"])
    batch = InteractionBatch(**content["batch"])
    with torch.no_grad():
        logits = model(batch)[batch.mask]
        probe = model.probe(batch, torch.tensor([3, 1]), torch.tensor([[2, 4], [3, 0]]))
    torch.testing.assert_close(logits, content["logits"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probe, content["probe"], rtol=1e-4, atol=1e-5)


def test_there_is_a_checkpoint_of_each_kind():
    assert {path.stem.split("_")[0] for path in CHECKPOINTS} == {"attention", "dkt"}
