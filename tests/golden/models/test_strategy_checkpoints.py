from pathlib import Path

import pytest
import torch

from models.strategy import StrategyBatch, build_strategy_model, config_from_dict

CHECKPOINTS = sorted((Path(__file__).parent / "strategy").glob("*_format2.pt"))


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_a_checkpoint_of_an_earlier_version_still_predicts_the_same(path):
    content = torch.load(path, weights_only=True)
    model = build_strategy_model(config_from_dict(content["config"])).eval()
    model.load_state_dict(content["state_dict"])
    batch = StrategyBatch(**content["batch"])
    with torch.no_grad():
        found = model.target_log_probs(batch)
        decoded = model.decode(batch, beam_size=3, max_length=8)
    torch.testing.assert_close(found, content["target_log_probs"], rtol=1e-4, atol=1e-4)
    assert torch.equal(decoded.tokens, content["decoded"])


def test_there_is_a_checkpoint_of_each_kind():
    assert {path.stem.split("_")[0] for path in CHECKPOINTS} == {"lstm", "transformer"}
