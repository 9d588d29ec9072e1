# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the click-through networks, as plain values that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from models.diffumin.config_checks import check_config
from models.plain_values import config_of

LongTermKind = Literal[
    "diffumin", "none", "mean", "mean_match", "din", "sim_soft", "sim_hard", "eta", "sdim", "twin"
]  # fmt: skip
ChannelSource = Literal["target", "random", "table"]
Orthonormalization = Literal["qr", "cgs2", "polar"]
Percentile = Literal["column", "routed"]
Pooling = Literal["mean", "sim", "released", "softmax", "max", "target_attn", "self_attn"]
AugmentationKind = Literal["none", "diffusion", "distilled", "repeat", "placebo", "mlp", "vae"]
SamplingParameterization = Literal["same", "noise", "clean", "velocity"]
InterestScale = Literal["raw", "unit", "sqrt_d"]
StartRule = Literal["at_last", "uniform", "gaussian"]
SamplerKind = Literal["ddim", "ancestral"]
InferenceNoise = Literal["zero", "keyed", "drawn"]
NoisyMark = Literal["unmarked", "embedding", "time"]
ChannelCondition = Literal["own", "all", "none"]
AttentionScale = Literal["width", "keys"]
ContrastiveHead = Literal["linear", "mlp"]
ShortTermHistory = Literal["shared", "joint"]
ShortTermCondition = Literal["none", "last_channel"]
Activation = Literal["dice", "prelu", "relu"]


@dataclass(frozen=True, slots=True)
class DiffuMINConfig:
    """A click-through network: what it reads, how it looks back, and how it is trained.

    ``long_term`` alone tells DiffuMIN from its baselines; all else is shared. Fields about channels,
    augmentation and contrast are read where ``long_term`` is ``diffumin``. The defaults repair the paper
    where it contradicts itself; :mod:`models.diffumin.presets` has its letter and the published code's.

    Attributes
    ----------
    num_field_values
        Size of the vocabulary of each field of an item, padding (0) and unknown (1) included; at least 2.
    num_outcomes
        Outcomes of a behavior, unknown (0) included; 1 if there are none.
    num_context
        Numbers about an impression.
    field_size
        Width of the vector of one field. Items are as wide as all their fields, and the outcome, together.
    embedding_std
        Standard deviation of the vectors before training, above 0.
    long_term
        How all behaviors are summed up for a target item: the block that differs between models.
    num_channels
        Orthonormal directions to which behaviors are routed; at most the width of an item.
    channels_from
        What the channels depend on: the ``target`` item, nothing at all (``random``, never trained), or
        nothing but training (``table``); the last two are controls.
    orthonormalization
        ``qr`` with a positive diagonal, ``cgs2`` (the same result without LAPACK) or ``polar``, which treats
        all channels alike.
    percentile
        Of which behaviors the best are kept in a channel: of all of the student (``column``), or of those
        routed to the channel (``routed``).
    kept_share
        Share that is kept, in (0, 1].
    kept_count
        Number that is kept, instead of a share; 0 is off.
    pooling
        How kept behaviors become an interest: their ``mean``, their sum weighted by score and divided by
        their number (``sim``) or by that of all behaviors (``released``), a ``softmax`` of their scores; for
        analysis their maximum, attention of the target, or attention among themselves.
    is_empty_learned
        Whether a channel without a behavior gives a learned vector; otherwise 0.
    has_overall
        Whether the mean of all behaviors is one more interest, beside those of the channels, which hold few.
    augmentation
        What gives the second view of the interests: ``diffusion``, a one-step student of it
        (``distilled``), or a control: the interest itself (``repeat``), with the sampler's first noise on it
        (``placebo``), a network of as many weights (``mlp``), a variational autoencoder (``vae``), nothing.
    num_diffusion_steps, first_beta, last_beta
        Linear noise schedule.
    parameterization
        What the denoiser is trained to say: ``noise``, ``clean`` values or ``velocity``.
    sampling_parameterization
        What its output is taken for in sampling; the published code takes another than it trains.
    interest_scale
        Length of an interest where noise is added to it: as it is (``raw``), 1 (``unit``) or the root of
        its width (``sqrt_d``), as schedules assume.
    start_rule
        Where sampling starts: at the interest with the noise of the first level sampled (``at_last``), of a
        random level though the labels are the same (``uniform``, the paper), or at noise (``gaussian``).
    num_sampling_steps
        Calls of the denoiser.
    start_level
        Number of diffusion steps of noise at the start, at least ``num_sampling_steps``; 0 is equal to it.
    sampler, variance
        ``ddim`` without noise between the steps or ``ancestral`` with noise of this variance.
    inference_noise
        Noise at the start when not training: none, numbers that depend on ``noise_seed``, student and item
        only (``keyed``), or new ones each time (``drawn``).
    noise_seed
        Seed of keyed noise.
    is_interest_detached, is_channel_detached
        Whether the diffusion loss leaves interests, and channels, where they are.
    num_denoiser_layers, num_denoiser_heads, denoiser_expansion
        Size of the denoiser.
    noisy_mark
        How the denoiser is told which interest is noisy: not at all (``unmarked``), by a learned vector
        (``embedding``), or as the only one that is told the ``time``.
    has_output_head
        Whether a linear map that begins at 0 follows the last norm, which alone cannot say small values.
    is_interest_conditioned
        Whether the denoiser sees the other interests.
    channel_condition
        Which channels it sees: that of the noisy interest (``own``), ``all`` by attention, or none.
    attention_scale
        By the root of what scores of the denoiser are divided: the ``width`` of a head, or the number of
        ``keys`` as in the published code.
    diffusion_weight, contrastive_weight, search_weight
        Weights of the losses of denoiser (or autoencoder), contrast, and SIM's search; 0 leaves it out.
    temperature
        Of the contrast, above 0.
    contrastive_head
        One ``linear`` map of each view, or two with a ReLU between (``mlp``).
    is_same_student_masked
        Whether rows of one student are no negatives of each other.
    max_negatives
        Negatives of a row drawn in training; 0 takes all.
    short_term_window
        Latest behaviors that the short-term encoder reads; 0 leaves it out.
    num_short_term_layers, num_short_term_heads, short_term_expansion
        Its size.
    short_term_history
        Whether behaviors are read once for all target items (``shared``) or see the target (``joint``).
    has_positions
        Whether the encoder knows the order of behaviors.
    short_term_condition
        The published code adds the ``last_channel`` in each layer.
    mlp_sizes
        Widths of the hidden layers of the prediction.
    activation
        Of these layers.
    has_input_norm, has_batch_norm, has_logit_norm
        Whether what the prediction reads, hidden layers, and the logit, are normalized over the batch.
    has_interests
        Whether the prediction reads the interests themselves, not only their augmentation.
    has_matches
        Whether it reads products of interests with their channels and the target, and how many behaviors are
        behind each.
    has_target
        Whether it reads the target item.
    dropout
        Share of activations dropped in training, in [0, 1).
    negative_sample_rate
        Share of impressions without a click that training keeps, in (0, 1]; probabilities are corrected.
    num_retrieved
        Behaviors that the second stage of a baseline reads (the latest, for DIN); 0 is all.
    num_attention_heads, attention_sizes
        Heads of target attention; hidden widths of DIN's attention.
    category_field
        Field that SIM's hard search compares.
    num_hash_bits, hash_group_bits
        Bits of ETA's and SDIM's hashes, and of one group of SDIM.
    """

    kind: ClassVar[str] = "diffumin"

    num_field_values: tuple[int, ...]
    num_outcomes: int = 1
    num_context: int = 0
    field_size: int = 8
    embedding_std: float = 0.01
    long_term: LongTermKind = "diffumin"
    num_channels: int = 4
    channels_from: ChannelSource = "target"
    orthonormalization: Orthonormalization = "qr"
    percentile: Percentile = "column"
    kept_share: float = 0.2
    kept_count: int = 0
    pooling: Pooling = "sim"
    is_empty_learned: bool = False
    has_overall: bool = True
    augmentation: AugmentationKind = "diffusion"
    num_diffusion_steps: int = 1000
    first_beta: float = 1e-4
    last_beta: float = 0.02
    parameterization: Literal["noise", "clean", "velocity"] = "noise"
    sampling_parameterization: SamplingParameterization = "same"
    interest_scale: InterestScale = "unit"
    start_rule: StartRule = "at_last"
    num_sampling_steps: int = 4
    start_level: int = 10
    sampler: SamplerKind = "ddim"
    variance: Literal["forward", "posterior"] = "forward"
    inference_noise: InferenceNoise = "zero"
    noise_seed: int = 7
    is_interest_detached: bool = True
    is_channel_detached: bool = False
    num_denoiser_layers: int = 2
    num_denoiser_heads: int = 2
    denoiser_expansion: int = 3
    noisy_mark: NoisyMark = "embedding"
    has_output_head: bool = True
    is_interest_conditioned: bool = True
    channel_condition: ChannelCondition = "own"
    attention_scale: AttentionScale = "width"
    diffusion_weight: float = 0.01
    contrastive_weight: float = 0.001
    search_weight: float = 1.0
    temperature: float = 0.05
    contrastive_head: ContrastiveHead = "linear"
    is_same_student_masked: bool = True
    max_negatives: int = 0
    short_term_window: int = 20
    num_short_term_layers: int = 2
    num_short_term_heads: int = 2
    short_term_expansion: int = 3
    short_term_history: ShortTermHistory = "shared"
    has_positions: bool = True
    short_term_condition: ShortTermCondition = "none"
    mlp_sizes: tuple[int, ...] = (1024, 512, 256)
    activation: Activation = "dice"
    has_input_norm: bool = True
    has_batch_norm: bool = True
    has_logit_norm: bool = False
    has_interests: bool = True
    has_matches: bool = True
    has_target: bool = True
    dropout: float = 0.0
    negative_sample_rate: float = 1.0
    num_retrieved: int = 100
    num_attention_heads: int = 2
    attention_sizes: tuple[int, ...] = (80, 40)
    category_field: int = 1
    num_hash_bits: int = 32
    hash_group_bits: int = 4

    def __post_init__(self) -> None:
        check_config(self)

    @property
    def num_fields(self) -> int:
        """Fields of an item."""
        return len(self.num_field_values)

    @property
    def item_size(self) -> int:
        """Width of the vector of an item or behavior."""
        return self.field_size * (self.num_fields + (self.num_outcomes > 1))

    @property
    def first_level(self) -> int:
        """Diffusion steps of noise at the start of sampling."""
        return self.start_level or self.num_sampling_steps

    def to_dict(self) -> dict[str, Any]:
        """Return the values with the kind of network, for :func:`config_from_dict`."""
        return {"kind": self.kind, **asdict(self)}


# What networks of earlier versions, whose files do not speak of it, did not have.
ABSENT_BEFORE: dict[str, Any] = {"has_input_norm": False, "has_matches": False, "has_overall": False}
CONFIGS: dict[str, type[DiffuMINConfig]] = {DiffuMINConfig.kind: DiffuMINConfig}


def config_from_dict(values: Mapping[str, Any]) -> DiffuMINConfig:
    """Return the configuration that :meth:`DiffuMINConfig.to_dict` described.

    Raises
    ------
    ValueError
        If the kind or a key is unknown, or a value cannot be.
    """
    return config_of({**ABSENT_BEFORE, **values}, CONFIGS, "click-through network")
