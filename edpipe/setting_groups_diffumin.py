"""The settings of recommenders: which network, how large, how it is trained, judged and asked."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from edpipe.setting_groups_diffumin_network import NetworkChoices

LongTerm = Literal[
    "diffumin", "none", "mean", "mean_match", "din", "sim_soft", "sim_hard", "eta", "sdim", "twin"
]
Augmentation = Literal["diffusion", "distilled", "none", "repeat", "placebo", "mlp", "vae"]
RankBy = Literal["probability", "gain"]
Floor = Literal["item_rate", "logistic", "no_behaviors", "mean_pooling"]


class DiffuMINSettings(NetworkChoices):
    """Recommenders: network, training, floors, recommendations. What they learn from: `recommendation`."""

    preset: Literal["default", "paper", "released"] = Field(
        default="default",
        description="Rules of the network: the paper with its gaps repaired, its equations literally, or "
        "what the published code does.",
    )
    long_term: LongTerm = Field(
        default="diffumin",
        description="What looks back at all behaviors: interests in channels, or a baseline in their place.",
    )
    augmentation: Augmentation | None = Field(
        default=None,
        description="Second view of the interests: generated, generated in one step by a student of the "
        "diffusion, none, or a control of equal width; without a value as in the preset (default: none).",
    )
    field_size: int = Field(default=8, ge=2, le=256, description="Width of one field of an item, even.")
    num_channels: int = Field(default=4, ge=1, le=32, description="Interests looked for, one a channel.")
    kept_share: float = Field(
        default=0.2, gt=0, le=1, description="Share of behaviors that a channel may keep, the best ones."
    )
    short_term_window: int = Field(
        default=20, ge=0, le=1_000, description="Latest behaviors that are read in order; 0 is none."
    )
    num_retrieved: int = Field(
        default=100, ge=1, le=10_000, description="Behaviors that the second stage of a baseline reads."
    )
    mlp_sizes: tuple[int, ...] = Field(
        default=(256, 128), description="Widths of the hidden layers of the prediction."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of activations dropped in training.")
    learning_rate: float = Field(default=1e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    item_learning_rate: float = Field(
        default=1e-2,
        gt=0,
        lt=1,
        description="Peak learning rate of the vectors of items, of which a batch reads few.",
    )
    weight_decay: float = Field(
        default=0.01, ge=0, lt=1, description="Weight decay of AdamW; vectors of items have none."
    )
    max_epochs: int = Field(default=10, ge=1, description="Most passes over the training requests.")
    patience: int = Field(default=2, ge=1, description="Epochs without better validation before the stop.")
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the averaged weights; 0 is off."
    )
    accelerator: str = Field(default="auto", description="Lightning's accelerator.")
    devices: str = Field(default="auto", description="Lightning's devices.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true", description="Lightning's precision."
    )
    strategy: str = Field(default="auto", description="Lightning's strategy.")
    floors: tuple[Floor, ...] = Field(
        default=("item_rate", "logistic", "no_behaviors", "mean_pooling"),
        description="Plain predictors in the same table; the last two are networks, trained like the model.",
    )
    planted: str = Field(
        default="", description="Folder with the truth of synthetic clicks, which then stands in the table."
    )
    bootstrap: int = Field(default=200, ge=0, description="Draws of students for intervals.")
    num_recommended: int = Field(default=10, ge=1, le=1_000, description="Items for each student.")
    num_candidates: int = Field(
        default=1_000,
        ge=0,
        description="Items that are scored for a student, those most often met in training; 0 is all.",
    )
    is_new_only: bool = Field(
        default=True, description="Whether only items that the student never met are recommended."
    )
    is_deployed_only: bool = Field(
        default=True,
        description="Whether items are left out that were deployed, and first taken up by anybody, after the "
        "student's last behavior.",
    )
    is_unmastered_only: bool = Field(
        default=False, description="Whether items are left out all of whose KCs the student has mastered."
    )
    mastered_from: float = Field(
        default=0.95, gt=0, le=1, description="Chance of knowing a KC from which it counts as mastered (BKT)."
    )
    rank_by: RankBy = Field(
        default="probability",
        description="Order of recommended items: chance of the target, or KCs expected to be learnt.",
    )
    num_reranked: int = Field(
        default=100,
        ge=1,
        description="Items of the highest chance that are put in order of what they teach.",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.field_size % 2:
            raise ValueError(f"field_size must be even, for two heads of attention; got {self.field_size}")
        if not self.mlp_sizes or min(self.mlp_sizes) < 1:
            raise ValueError(f"mlp_sizes must hold one or more widths from 1; got {list(self.mlp_sizes)}")
        return self
