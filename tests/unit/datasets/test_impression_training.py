from __future__ import annotations

import warnings

import impression_data as data
import pytorch_lightning as lightning
import torch
from torch import nn

from edpipe.datasets.impressions_batches import ImpressionDataModule


class Recorder(lightning.LightningModule):
    """Learn a bias, and remember which items stood in which epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[torch.Tensor]] = {}

    def training_step(self, batch, batch_idx):
        self.seen.setdefault(self.current_epoch, []).append(batch.target_items)
        return nn.functional.binary_cross_entropy_with_logits(self.bias.expand(len(batch)), batch.clicked)

    def validation_step(self, batch, batch_idx):
        self.seen.setdefault(-1 - self.current_epoch, []).append(batch.target_items)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder, module, epochs, checkpoint=None):
    dataset = data.dataset(folder, data.behaviors(40))
    served = ImpressionDataModule(dataset, max_length=10, negatives=1, batch_size=16, seed=5)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own, of workers and of torch's deprecations
        trainer.fit(module, datamodule=served, ckpt_path=checkpoint)
    return trainer


def test_a_training_that_goes_on_sees_the_batches_of_an_unbroken_one(tmp_path):
    whole, broken, resumed = Recorder(), Recorder(), Recorder()
    train(tmp_path, whole, 3)
    checkpoint = tmp_path / "stopped.ckpt"
    train(tmp_path, broken, 1).save_checkpoint(checkpoint)
    train(tmp_path, resumed, 3, checkpoint)
    assert sorted(resumed.seen) == [-3, -2, 1, 2]
    for epoch, batches in resumed.seen.items():
        assert all(torch.equal(one, two) for one, two in zip(batches, whole.seen[epoch], strict=True))
    assert not torch.equal(torch.cat(whole.seen[0]), torch.cat(whole.seen[1]))
    assert torch.equal(torch.cat(whole.seen[-1]), torch.cat(whole.seen[-3]))
