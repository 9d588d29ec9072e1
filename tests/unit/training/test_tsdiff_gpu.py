"""Forecasters on a GPU give what they give on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from series_data import sourced, tiny

from edpipe.prediction.forecast import forecast_windows, load_forecaster
from edpipe.training.tsdiff import train_tsdiff
from models.tsdiff.s4d import S4D

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("length", [24, 168, 1000])
def test_a_long_convolution_and_its_gradient_are_those_of_the_cpu(length):
    torch.manual_seed(0)
    layer, values = S4D(8), torch.randn(4, 8, length)
    found = []
    for device in ("cpu", "cuda"):
        layer = layer.to(device)
        layer.zero_grad()
        out = layer(values.to(device))
        out.square().mean().backward()
        # Copies: gradients move with their layer.
        found.append([out.detach().cpu(), *(weight.grad.cpu().clone() for weight in layer.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("model", ["flow", "unconditional", "one_step"])
def test_a_training_on_a_gpu_is_as_good_as_on_the_cpu(model, precision, settings):
    # Nothing samples an unconditional model between epochs.
    score = "valid_loss" if model == "unconditional" else "valid_crps"
    found = []
    for accelerator, kind in (("cpu", "32-true"), ("gpu", precision)):
        asked = tiny(
            settings,
            model=model,
            accelerator=accelerator,
            precision=kind,
            num_samples=20,
            guidance="covariance",
        )
        run = train_tsdiff(asked, sourced=sourced(asked), resume=False)
        found.append(run.metrics[score])
    assert found[1] == pytest.approx(found[0], rel=0.15)


@pytest.mark.parametrize("model", ["flow", "unconditional"])
def test_networks_on_a_gpu_forecast_what_they_forecast_on_the_cpu(model, settings):
    asked = tiny(settings, model=model, num_samples=400, guidance="covariance", calibration="none")
    found = sourced(asked)
    run = train_tsdiff(asked, sourced=found)
    means = []
    for accelerator in ("cpu", "gpu"):
        trained = load_forecaster(run.run_dir, accelerator=accelerator)
        assert next(trained.members[0].parameters()).device.type == (
            "cpu" if accelerator == "cpu" else "cuda"
        )
        paths = forecast_windows(trained, found.task.series, found.task.test, seed=0).values
        means.append((paths.mean(1), paths.std(1)))
    # Unlike noise, equal laws: means apart by their standard errors.
    error = np.hypot(means[0][1], means[1][1]) / np.sqrt(400)
    apart = np.abs(means[0][0] - means[1][0]) / np.maximum(error, 1e-6)
    assert np.mean(apart < 3) > 0.95
