import warnings
from dataclasses import replace

import pytest
import torch
from impression_batches import SIZES, impression_batch, stirred
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from models.diffumin import DiffuMINConfig, build_diffumin
from models.diffumin.distillation import student_of
from models.diffumin.lightning_module import DiffuMINModule, DistillationModule
from models.optimization import OptimizerConfig

OPTIMIZER = OptimizerConfig(learning_rate=5e-3, warmup_steps=2, total_steps=12, ema_decay=0.9)


def network(**changes):
    torch.manual_seed(1)
    return stirred(build_diffumin(DiffuMINConfig(**(SIZES | changes))))


def batches(number=3):
    return DataLoader(
        [impression_batch((4, 9, 20), (2, 3, 3), seed=seed) for seed in range(number)], batch_size=None
    )


def fit(module, folder, epochs=2, resume=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own, of workers and of torch's deprecations
        run = Trainer(
            default_root_dir=folder,
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
        )
        run.fit(module, batches(), batches(1), ckpt_path=resume)
    return run


def same_weights(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_each_part_of_the_loss_is_logged_and_adds_up(tmp_path):
    module = DiffuMINModule(network(), OPTIMIZER)
    logged = fit(module, tmp_path, epochs=1).callback_metrics
    parts = {name: logged[f"train/{name}"] for name in ("ctr", "diffusion", "contrastive")}
    torch.testing.assert_close(logged["train/loss"], module.model.total(parts))
    assert 0 <= logged["valid/auc"] <= 1
    assert torch.isfinite(logged["valid/loss"])


def test_validation_is_the_loss_of_the_averaged_weights(tmp_path):
    module = DiffuMINModule(network(), OPTIMIZER)
    logged = fit(module, tmp_path, epochs=1).callback_metrics
    batch = next(iter(batches(1)))
    averaged = module.trained().eval()
    assert averaged is not module.model
    with torch.no_grad():
        expected = torch.nn.functional.binary_cross_entropy_with_logits(averaged(batch), batch.clicked)
    torch.testing.assert_close(logged["valid/loss"], expected)


def test_averaged_network_has_the_statistics_of_the_trained_one(tmp_path):
    module = DiffuMINModule(network(), OPTIMIZER)
    fit(module, tmp_path, epochs=1)
    buffers = dict(module.model.named_buffers())
    moved = [name for name in buffers if name.endswith("running_mean")]
    assert moved
    for name, value in module.trained().named_buffers():
        assert torch.equal(value, buffers[name])
    assert max(buffers[name].abs().max() for name in moved) > 0


def test_resumed_run_equals_an_unbroken_one(tmp_path):
    whole = DiffuMINModule(network(), OPTIMIZER)
    fit(whole, tmp_path, epochs=2)
    half = DiffuMINModule(network(), OPTIMIZER)
    run = fit(half, tmp_path, epochs=1)
    run.save_checkpoint(tmp_path / "half.ckpt")
    resumed = DiffuMINModule(network(), OPTIMIZER)
    fit(resumed, tmp_path, epochs=2, resume=tmp_path / "half.ckpt")
    assert same_weights(resumed.trained().state_dict(), whole.trained().state_dict())


def test_vectors_of_items_have_a_learning_rate_of_their_own_and_no_weight_decay():
    rates = replace(OPTIMIZER, learning_rate=1e-3, table_learning_rate=0.25)
    groups = DiffuMINModule(network(), rates).configure_optimizers()["optimizer"].param_groups
    assert [(group["initial_lr"], group["weight_decay"]) for group in groups] == [
        (1e-3, OPTIMIZER.weight_decay),
        (1e-3, 0.0),
        (0.25, 0.0),
    ]
    module = DiffuMINModule(network(), OPTIMIZER)
    *_, table = module.configure_optimizers()["optimizer"].param_groups
    assert table["params"] == [module.model.embedding.table.weight]
    assert table["initial_lr"] == OPTIMIZER.learning_rate


def test_distillation_changes_the_student_alone_and_brings_it_nearer(tmp_path):
    teacher = network(start_level=300, inference_noise="keyed").eval()
    quick = OptimizerConfig(learning_rate=0.03, warmup_steps=2, total_steps=12, ema_decay=0.5)
    module = DistillationModule(teacher, quick)
    with torch.no_grad():
        batch = next(iter(batches(1)))
        before = module._distance(module.trained().eval(), batch)
    logged = fit(module, tmp_path, epochs=4).callback_metrics
    assert logged["valid/distance"] < 0.9 * before
    trained = module.trained()
    assert trained.config.augmentation == "distilled"
    shared = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith("long_term.augmentation.")
    }
    assert same_weights(shared, trained.state_dict())
    assert same_weights(teacher.state_dict(), module.teacher.state_dict())


def test_only_a_diffusion_can_be_distilled():
    for changes in ({"augmentation": "vae"}, {"long_term": "din"}):
        with pytest.raises(ValueError, match="only a diffusion can be distilled"):
            student_of(network(**changes))
