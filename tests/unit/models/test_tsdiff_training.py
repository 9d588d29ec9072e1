import warnings
from dataclasses import replace

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader
from window_batches import window_batch

from models.diffusion.curriculum import Curriculum
from models.optimization import OptimizerConfig
from models.tsdiff import ConditionalConfig, TSDiffConfig, build_tsdiff
from models.tsdiff.lightning_module import ConsistencyModule, TSDiffModule

SIZES = {
    "context_length": 12,
    "prediction_length": 4,
    "hidden_size": 8,
    "num_blocks": 1,
    "state_size": 4,
    "step_embedding_size": 8,
}
UNCONDITIONAL = TSDiffConfig(**SIZES, num_diffusion_steps=4)
CONDITIONAL = ConditionalConfig(**SIZES)
OPTIMIZER = OptimizerConfig(learning_rate=5e-3, warmup_steps=2, total_steps=12, ema_decay=0.9)


def module_of(config, **options):
    torch.manual_seed(1)
    return TSDiffModule(build_tsdiff(config), OPTIMIZER, **options)


def student_module():
    torch.manual_seed(1)
    return ConsistencyModule(build_tsdiff(CONDITIONAL), OPTIMIZER, num_times=4)


def batches(number=3):
    return DataLoader([window_batch(8, seed=seed) for seed in range(number)], batch_size=None)


def trainer(folder, epochs, **options):
    return Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        gradient_clip_val=0.5,
        **options,
    )


def fit(module, folder, epochs=2, resume=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own, of workers and of torch's deprecations
        run = trainer(folder, epochs, **options)
        run.fit(module, batches(), batches(1), ckpt_path=resume)
    return run


@pytest.mark.parametrize("kind", ["unconditional", "conditional", "student"])
def test_resumed_run_equals_an_unbroken_one(kind, tmp_path):
    def fresh():
        if kind == "student":
            return student_module()
        return module_of(UNCONDITIONAL if kind == "unconditional" else CONDITIONAL)

    unbroken = fresh()
    fit(unbroken, tmp_path, 3)
    first = fresh()
    fit(first, tmp_path, 1).save_checkpoint(tmp_path / "half.ckpt")
    second = fresh()
    fit(second, tmp_path, 3, resume=tmp_path / "half.ckpt")
    for name, weight in unbroken.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], weight, rtol=0, atol=0, msg=name)


def test_validation_looks_at_the_averaged_weights(tmp_path):
    module = module_of(UNCONDITIONAL)
    run = fit(module, tmp_path)
    batch = window_batch(8, seed=0)
    with torch.no_grad():
        averaged, raw = module.trained().eval().loss(batch), module.model.eval().loss(batch)
    assert run.callback_metrics["valid/loss"].item() == pytest.approx(averaged.item(), rel=1e-5)
    assert averaged != raw


def test_student_begins_as_its_teacher_which_never_moves(tmp_path):
    module = student_module()
    teacher = {name: value.clone() for name, value in module.teacher.state_dict().items()}
    for name, weight in module.model.state_dict().items():
        assert torch.equal(weight, teacher[name])
    fit(module, tmp_path, 1)
    assert all(torch.equal(value, teacher[name]) for name, value in module.teacher.state_dict().items())
    assert any(not torch.equal(value, teacher[name]) for name, value in module.trained().state_dict().items())


def test_half_precision_leaves_weights_and_losses_finite(tmp_path):
    module = module_of(UNCONDITIONAL)
    run = fit(module, tmp_path, 1, precision="bf16-mixed")
    assert run.callback_metrics["valid/loss"].isfinite()
    assert all(weight.isfinite().all() for weight in module.parameters())
    assert module.model.network.blocks[0].convolution.output.dtype == torch.float32


def test_curriculum_begins_with_the_noisiest_steps(tmp_path, monkeypatch):
    module = module_of(UNCONDITIONAL, curriculum=Curriculum(warmup_steps=2, first_share=0.25))
    shares = []
    loss = module.model.loss
    monkeypatch.setattr(
        module.model,
        "loss",
        lambda batch, noisiest: shares.append(noisiest) or loss(batch, noisiest=noisiest),
    )
    fit(module, tmp_path, 1)
    assert shares == [0.25, 0.625, 1.0]


def test_compiled_network_gives_the_same_numbers_and_names():
    plain, compiled = module_of(UNCONDITIONAL), module_of(UNCONDITIONAL, is_compiled=True, backend="eager")
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    batch = window_batch(8)
    with torch.no_grad():
        torch.testing.assert_close(compiled.model.eval().loss(batch), plain.model.eval().loss(batch))


def test_weight_decay_spares_rates_and_frequencies():
    module = module_of(UNCONDITIONAL)
    names = {id(weight): name for name, weight in module.model.named_parameters()}
    decayed, free = module.configure_optimizers()["optimizer"].param_groups
    assert decayed["weight_decay"] > 0
    assert free["weight_decay"] == 0
    assert not [names[id(weight)] for weight in decayed["params"] if "convolution" in names[id(weight)]]
    assert "network.enter.weight" in {names[id(weight)] for weight in decayed["params"]}


def test_distillation_needs_a_flow_and_averaged_weights():
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="only a flow can be distilled"):
        ConsistencyModule(build_tsdiff(replace(CONDITIONAL, dynamics="diffusion")), OPTIMIZER)
    with pytest.raises(ValueError, match="ema_decay must be above 0"):
        ConsistencyModule(build_tsdiff(CONDITIONAL), replace(OPTIMIZER, ema_decay=0.0))
