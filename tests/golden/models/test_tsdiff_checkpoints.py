from pathlib import Path

import pytest
import torch

from edpipe.prediction.forecast import TSDIFF_FORMAT
from models.batches import WindowBatch
from models.tsdiff import ConditionalForecaster, build_tsdiff, config_from_dict, guided_sample

CHECKPOINTS = sorted((Path(__file__).parent / "tsdiff").glob(f"*_format{TSDIFF_FORMAT}.pt"))


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_a_checkpoint_of_an_earlier_version_still_forecasts_the_same(path):
    content = torch.load(path, weights_only=True)
    model = build_tsdiff(config_from_dict(content["config"])).eval()
    model.load_state_dict(content["state_dict"])
    batch = WindowBatch(**content["batch"])
    with torch.no_grad():
        losses = model.window_losses(batch, content["time"], content["noise"])
    torch.testing.assert_close(losses, content["losses"], rtol=1e-4, atol=1e-4)
    generator = torch.Generator().manual_seed(5)
    if isinstance(model, ConditionalForecaster):
        paths = model.sample(batch, 4, 5, generator)
    else:
        paths = guided_sample(model, batch, 4, 5, generator, guidance_scale=2.0)
    torch.testing.assert_close(paths, content["paths"], rtol=1e-3, atol=1e-3)


def test_there_is_a_checkpoint_of_each_kind():
    kinds = {path.stem.split("_")[0] for path in CHECKPOINTS}
    assert kinds == {"unconditional", "flow", "centered", "diffusion"}
