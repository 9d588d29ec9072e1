"""The groups of settings: what each part of edpipe can be told, typed, bounded, described."""

from __future__ import annotations

import difflib
from typing import Any, Literal, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator


def closest(key: str, known: list[str]) -> str:
    """Return a hint that names the known key most like ``key``."""
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def refuse_unknown(data: Any, known: list[str]) -> None:
    """Raise ValueError where a mapping has a key that is not known; other values pass."""
    if not isinstance(data, dict):
        return
    unknown = [f"unknown setting {key!r}. {closest(key, known)}" for key in data if key not in known]
    if unknown:
        raise ValueError(" ".join(unknown))


def split(text: str) -> list[str]:
    """Return the parts between commas, without spaces around them."""
    return [part.strip() for part in text.split(",") if part.strip()]


class Strict(BaseModel):
    """Settings that refuse keys they do not know."""

    # Defaults take the type of their field as given values do: settings that went through JSON are the same.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _suggest_known_keys(cls, data: Any) -> Any:
        refuse_unknown(data, list(cls.model_fields))
        return data

    @field_validator("*", mode="before")
    @classmethod
    def _split_lists(cls, value: Any, info: ValidationInfo) -> Any:
        """Read ``a,b`` where a list is expected: flags are text."""
        field = cls.model_fields[str(info.field_name)]
        if not isinstance(value, str) or get_origin(field.annotation) is not tuple:
            return value
        return split(value)


class IngestSettings(Strict):
    """How foreign files become raw Parquet."""

    workers: int = Field(default=0, ge=0, le=256, description="Processes that read; 0 is one a core.")
    max_rejects: float = Field(
        default=0.001, ge=0, le=1, description="Share of rows that may be unusable before the step fails."
    )
    shard_mib: int = Field(default=32, ge=1, le=1024, description="Source MiB a shard, before compression.")
    max_member_mib: int = Field(default=512, ge=1, description="Largest archive member taken, in MiB.")
    max_ratio: int = Field(default=200, ge=10, description="Largest compression ratio taken from a member.")


class WarehouseSettings(Strict):
    """How the SQL models are built."""

    threads: int = Field(default=0, ge=0, description="DuckDB threads; 0 is one a core.")
    memory_limit_mib: int = Field(
        default=2048, ge=256, description="Memory DuckDB may use before it spills to disk, in MiB."
    )
    session_idle_minutes: float = Field(
        default=30, gt=0, description="Minutes without an action after which a new session starts."
    )
    mastery_decay: float = Field(
        default=0.9, gt=0, le=1, description="Weight a mastery estimate loses per opportunity, in (0, 1]."
    )
    watched_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of its length that a lecture is kept open for to count as watched.",
    )
    clock_offset_hours: int = Field(
        default=0,
        ge=-12,
        le=14,
        description="Hours that learners' clocks are ahead of UTC: days of series begin at their midnight.",
    )
    kc_models: tuple[str, ...] = Field(
        default=("KTracedSkills", "MATHia New", "MATHia", "Default", "SubSkills"),
        description="KC models of tutor logs in order of preference; a file with none of them: its first.",
    )
    ignored_kcs: tuple[str, ...] = Field(
        default=("DON'T TRACK ME", "DO NOT TRACK ME"),
        description="Words that mark a KC as bookkeeping, whatever their case: left out of strategies.",
    )


class QuerySettings(Strict):
    """What `edpipe sql` may take: anybody's SQL runs within it."""

    timeout_seconds: float = Field(
        default=120, gt=0, description="Seconds after which a query of `edpipe sql` is stopped."
    )
    memory_limit_mib: int = Field(
        default=1024,
        ge=32,
        description="Memory a query of `edpipe sql` may use, its answer included, in MiB.",
    )
    spill_limit_mib: int = Field(
        default=8192, ge=0, description="Disk a query of `edpipe sql` may fill while it runs, in MiB."
    )


class ScheduleSettings(Strict):
    """What the scheduled flows read."""

    sources: dict[str, tuple[str, ...]] = Field(
        default={},
        description='Files and folders that the nightly flow reads, by source: `ednet = ["/srv/ednet"]`.',
    )
    deliveries: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Folders into which new files come, by source; the nightly flow adds what is new.",
    )

    @field_validator("sources", "deliveries", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        """Read ``a,b`` where paths are expected: flags are text."""
        if not isinstance(value, dict):
            return value
        return {source: split(paths) if isinstance(paths, str) else paths for source, paths in value.items()}


class SplitSettings(Strict):
    """How students are divided; a student is wholly in one part."""

    valid: float = Field(default=0.1, gt=0, lt=0.5, description="Share of students for validation.")
    test: float = Field(default=0.2, gt=0, lt=0.5, description="Share of students for the test, opened once.")
    salt: str = Field(default="edpipe", description="Word mixed into the hash of the student id.")


class TracingSettings(Strict):
    """Knowledge tracing: which model, how large, how long."""

    model: Literal["attention", "dkt"] = Field(default="attention", description="Kind of tracer.")
    source: str = Field(default="ednet", description="Source whose interactions are traced.")
    steps: Literal["questions", "rows"] = Field(
        default="questions",
        description="One step a question, or one a source row as in published KC-level protocols (leaks).",
    )
    size: int = Field(default=128, ge=8, le=4096, description="Width of the hidden state.")
    num_layers: int = Field(default=2, ge=1, le=24, description="Number of layers.")
    num_heads: int = Field(default=8, ge=1, le=64, description="Attention heads; divides `size`.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of activations dropped in training.")
    item_dropout: float = Field(
        default=0.3, ge=0, lt=1, description="Share of items shown as unknown in training."
    )
    context_length: int = Field(default=200, ge=2, le=4096, description="Answers a window holds.")
    batch_size: int = Field(default=64, ge=1, description="Windows a batch.")
    learning_rate: float = Field(default=1e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(default=0.01, ge=0, lt=1, description="Weight decay of AdamW.")
    max_epochs: int = Field(default=20, ge=1, description="Most passes over the training windows.")
    patience: int = Field(default=4, ge=1, description="Epochs without better validation before the stop.")
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the averaged weights; 0 is off."
    )
    accelerator: str = Field(default="auto", description="Lightning's accelerator.")
    devices: str = Field(default="auto", description="Lightning's devices.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true", description="Lightning's precision."
    )
    strategy: str = Field(default="auto", description="Lightning's strategy.")
    bootstrap: int = Field(default=200, ge=0, description="Student-level bootstrap draws for intervals.")
    plausible_auc: float = Field(
        default=0.9, gt=0.5, le=1, description="A test AUC above this is reported as a likely leak."
    )

    @model_validator(mode="after")
    def _heads_divide_size(self) -> Self:
        if self.model == "attention" and self.size % self.num_heads:
            raise ValueError(f"num_heads must divide size; got {self.num_heads} and {self.size}")
        return self


class EmbeddingSettings(Strict):
    """MVec: walks over students, KCs and problems, weighted by mastery, and vectors learned from them."""

    dim: int = Field(default=128, ge=2, le=2048, description="Width of the vectors.")
    estimator: Literal["best", "tracer", "bkt", "pfa", "mean"] = Field(
        default="best",
        description="What estimates mastery; `best` is the lowest log loss on held-out steps.",
    )
    shrinkage: float = Field(
        default=5.0, gt=0, description="Answers that the mean of a KC weighs as, in the running mean."
    )
    mastery_exponent: float = Field(
        default=1.0, ge=0, le=8, description="Power of mastery in the weight of an edge; 0 leaves it out."
    )
    return_parameter: float = Field(default=1.0, gt=0, description="p of a walk: above 1 it returns less.")
    in_out_parameter: float = Field(default=1.0, gt=0, description="q of a walk: above 1 it stays near.")
    walk_length: int = Field(default=20, ge=2, le=1000, description="Nodes of a walk.")
    walks_per_node: int = Field(default=10, ge=1, le=10_000, description="Walks that start at each node.")
    window: int = Field(default=5, ge=1, le=50, description="Neighbors to each side that are contexts.")
    negatives: int = Field(default=5, ge=1, le=100, description="Random nodes against each context.")
    epochs: int = Field(default=3, ge=1, le=100, description="Passes over the walks.")
    backend: Literal["auto", "gensim", "torch"] = Field(
        default="auto", description="What learns the vectors; `auto` is torch on a GPU, else gensim."
    )
    is_deterministic: bool = Field(
        default=False, description="Equal vectors on every run, with one thread instead of all."
    )


class ClusterSettings(Strict):
    """Strategy clusters: DP-means, refined from coarse to fine."""

    level: Literal["entities", "instances"] = Field(
        default="entities",
        description="Cluster students and problems apart and pair them, or problem attempts as they are.",
    )
    first_radius: float = Field(
        default=0, ge=0, lt=2, description="Radius to begin with; 0 is chosen for sqrt(N) / 4 clusters."
    )
    radius_decay: float = Field(
        default=0.85, gt=0, lt=1, description="Factor from one radius to the next finer."
    )
    max_rounds: int = Field(default=12, ge=1, le=100, description="Most refinements.")
    patience: int = Field(default=2, ge=1, description="Refinements without gain before the stop.")
    symmetry_threshold: float = Field(
        default=0.8, ge=-1, le=1, description="Clusters below this symmetry score are split further."
    )
    pairs: int = Field(default=64, ge=1, description="Pairs of strategies compared in a cluster, at most.")
    max_clusters: int = Field(default=20_000, ge=1, description="Most clusters.")
    least_median_size: float = Field(
        default=5, ge=1, description="Refinement stops where the median cluster has fewer attempts."
    )
    device: str = Field(default="cpu", description="Device of the distances: cpu, cuda.")


class StrategySettings(Strict):
    """Strategy prediction: from which attempts, by which model, learned from how many."""

    source: str = Field(default="kddcup", description="Source whose strategies are predicted.")
    split: Literal["students", "published", "problems", "both", "time"] = Field(
        default="students",
        description="What the test holds: new students, the published test, new problems, both, later times.",
    )
    views: Literal["first", "all"] = Field(
        default="first", description="Whether repeated views of a problem count as attempts to predict."
    )
    sampler: Literal["clusters", "uniform", "sections", "kmeans", "kcenter", "adaptive", "coreset", "all"] = (
        Field(default="clusters", description="How the attempts to learn from are chosen.")
    )
    budget: float = Field(default=0.1, gt=0, le=1, description="Share of training attempts to learn from.")
    cluster_exponent: float = Field(
        default=0.5, ge=0, le=1, description="Places of a cluster grow with this power of its size."
    )
    learners: Literal["groups", "clusters"] = Field(
        default="groups",
        description="Who counts as alike in the sampler `clusters`: mastery groups or student clusters.",
    )
    model: Literal["transformer", "lstm"] = Field(default="transformer", description="Kind of predictor.")
    size: int = Field(default=64, ge=8, le=4096, description="Width of the hidden state.")
    num_layers: int = Field(default=2, ge=1, le=24, description="Number of layers.")
    num_heads: int = Field(default=4, ge=1, le=64, description="Attention heads; divides `size`.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of activations dropped in training.")
    num_examples: int = Field(
        default=12, ge=1, le=256, description="Strategies seen before that the transformer may copy from."
    )
    batch_size: int = Field(default=64, ge=1, description="Attempts a batch.")
    learning_rate: float = Field(default=2e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(default=0.01, ge=0, lt=1, description="Weight decay of AdamW.")
    max_epochs: int = Field(default=30, ge=1, description="Most passes over the chosen attempts.")
    patience: int = Field(default=5, ge=1, description="Epochs without better validation before the stop.")
    ema_decay: float = Field(default=0.99, ge=0, lt=1, description="Decay of the averaged weights; 0 is off.")
    beam_size: int = Field(default=5, ge=1, le=256, description="Strategies followed at once in decoding.")
    max_length: int = Field(default=60, ge=1, le=1000, description="Most KCs of a predicted strategy.")
    length_penalty: float = Field(default=0.7, ge=0, description="Power of the length a score is divided by.")
    curve_budgets: tuple[float, ...] = Field(
        default=(), description="Budgets of the learning curve that `edpipe evaluate strategy` draws."
    )
    curve_seeds: int = Field(default=5, ge=1, le=100, description="Seeds of each point of the curve.")
    accelerator: str = Field(default="auto", description="Lightning's accelerator.")
    devices: str = Field(default="auto", description="Lightning's devices.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="32-true", description="Lightning's precision."
    )
    strategy: str = Field(default="auto", description="Lightning's strategy.")
    bootstrap: int = Field(default=200, ge=0, description="Student-level bootstrap draws for intervals.")

    @model_validator(mode="after")
    def _heads_divide_size(self) -> Self:
        if self.model == "transformer" and self.size % self.num_heads:
            raise ValueError(f"num_heads must divide size; got {self.num_heads} and {self.size}")
        return self


class SyntheticSettings(Strict):
    """Size of the synthetic data that `edpipe demo` makes."""

    students: int = Field(default=400, ge=1, description="Number of synthetic students.")
    items: int = Field(default=600, ge=20, description="Number of synthetic questions.")
    tutor_students: int = Field(default=200, ge=4, description="Number of synthetic students of a tutor.")
    tutor_sections: int = Field(default=6, ge=1, description="Sections of the synthetic tutor.")
