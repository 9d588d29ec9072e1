"""Every setting of edpipe: typed, bounded, described, from four places in a fixed order.

Preset < ``edpipe.toml`` < environment (``EDPIPE_…``, nested with ``__``) < flag.
"""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from edpipe.errors import SettingsError
from edpipe.setting_groups import (
    ClusterSettings,
    EmbeddingSettings,
    IngestSettings,
    QuerySettings,
    ScheduleSettings,
    SplitSettings,
    StrategySettings,
    SyntheticSettings,
    TracingSettings,
    WarehouseSettings,
    closest,
    refuse_unknown,
)
from edpipe.setting_groups_diffumin import DiffuMINSettings
from edpipe.setting_groups_forecast import TSDiffSettings
from edpipe.setting_groups_recommendation import RecommendationSettings
from edpipe.setting_groups_registry import PromotionSettings

PRESETS = ("smoke", "small", "full")
SETTINGS_FILE = "edpipe.toml"
ENVIRONMENT_PREFIX = "EDPIPE_"
# Names with the prefix that are not settings: where the tests find real data, and a secret.
OTHER_ENVIRONMENT_NAMES = frozenset({"EDPIPE_REAL_DATA", "EDPIPE_EXPORT_KEY"})

Preset = Literal["smoke", "small", "full"]


class Settings(BaseSettings):
    """All settings. Build it with :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(default=Path("data"), description="Folder that holds everything written.")
    preset: Preset = Field(default="small", description="Named sizes: smoke, small or full.")
    progress: Literal["auto", "bar", "log", "none"] = Field(
        default="auto", description="How long work is shown, on stderr."
    )
    seed: int = Field(default=7, ge=0, lt=2**31, description="Seed of everything random.")
    tracking_uri: str = Field(default="", description="MLflow server; empty is SQLite under `home`.")
    ingest: IngestSettings = IngestSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    query: QuerySettings = QuerySettings()
    split: SplitSettings = SplitSettings()
    tracing: TracingSettings = TracingSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    clusters: ClusterSettings = ClusterSettings()
    strategy: StrategySettings = StrategySettings()
    tsdiff: TSDiffSettings = TSDiffSettings()
    recommendation: RecommendationSettings = RecommendationSettings()
    diffumin: DiffuMINSettings = DiffuMINSettings()
    promotion: PromotionSettings = PromotionSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    @model_validator(mode="before")
    @classmethod
    def _suggest_known_keys(cls, data: Any) -> Any:
        refuse_unknown(data, list(cls.model_fields))
        return data

    @property
    def raw_dir(self) -> Path:
        """Folder of the raw Parquet shards: ``<raw_dir>/<source>/<relation>/``."""
        return self.home / "raw"

    @property
    def warehouse_path(self) -> Path:
        """DuckDB file that builds write; one process at a time."""
        return self.home / "warehouse.duckdb"

    @property
    def published_path(self) -> Path:
        """DuckDB file that anybody reads; replaced by rename after a good build."""
        return self.home / "published.duckdb"

    @property
    def predictions_dir(self) -> Path:
        """Folder of prediction tables as Parquet: ``<predictions_dir>/<table>/``."""
        return self.home / "predictions"

    @property
    def embeddings_dir(self) -> Path:
        """Folder of embeddings: one folder a key."""
        return self.home / "embeddings"

    @property
    def clusters_dir(self) -> Path:
        """Folder of strategy clusters: one folder a key."""
        return self.home / "clusters"

    @property
    def runs_dir(self) -> Path:
        """Folder of training runs: checkpoints, metrics, curves."""
        return self.home / "runs"

    @property
    def reports_dir(self) -> Path:
        """Folder of HTML reports."""
        return self.home / "reports"

    @property
    def ops_dir(self) -> Path:
        """Folder of what is known about runs of steps: ``ops.runs``."""
        return self.home / "ops"

    @property
    def mlflow_uri(self) -> str:
        """MLflow tracking URI: the given server, or SQLite under ``home``."""
        return self.tracking_uri or f"sqlite:///{(self.home / 'mlflow.db').resolve()}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use only what :func:`load_settings` hands over: it merges the sources itself."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(preset: str | None = None, *, file: Path | None = None, **flags: Any) -> Settings:
    """Read all settings, later places winning: preset, ``edpipe.toml``, environment, flags.

    Parameters
    ----------
    preset
        ``smoke``, ``small`` or ``full``; overrides the one named in the file or the environment.
    file
        Settings file; by default ``edpipe.toml`` in the current folder, if it exists.
    flags
        Values that win over everything, nested as dictionaries. None values are left out.

    Raises
    ------
    SettingsError
        If a key is unknown (the closest known one is named) or a value is out of range.
    """
    file = file or Path(SETTINGS_FILE)
    _refuse_unknown_environment()
    from_file = _read_file(file)
    from_environment = EnvSettingsSource(Settings)()
    given = _merge(_merge(from_file, from_environment), _without_none(flags))
    name = preset or given.get("preset") or "small"
    if name not in PRESETS:
        raise SettingsError(
            f"There is no preset {name!r}.",
            where="preset",
            found=repr(name),
            expected=f"one of {', '.join(PRESETS)}",
            next_step=closest(str(name), list(PRESETS)),
        )
    preset_file = Path(str(resources.files("edpipe") / "presets" / f"{name}.toml"))
    from_preset = TomlConfigSettingsSource(Settings, preset_file)()
    merged = _merge(_merge(from_preset, given), {"preset": name})
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise _settings_error(error, file) from error


def _read_file(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return TomlConfigSettingsSource(Settings, file)()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            "The settings file is not valid TOML.",
            where=str(file),
            found=str(error),
            expected="lines such as `[tracing]` and `size = 64`",
        ) from error


def _refuse_unknown_environment() -> None:
    """Refuse ``EDPIPE_…`` names that no setting has; pydantic-settings would pass over them."""
    groups = {
        name: list(field.annotation.model_fields)
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    known = [name for name in Settings.model_fields if name not in groups]
    known += [f"{group}__{name}" for group, names in groups.items() for name in names]
    names = [f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in known]
    for name in os.environ:
        if name.startswith(ENVIRONMENT_PREFIX) and name not in names and name not in OTHER_ENVIRONMENT_NAMES:
            raise SettingsError(
                f"The environment names a setting that does not exist: `{name}`.",
                where=f"environment variable `{name}`",
                next_step=closest(name, names),
            )


def _merge(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in values.items():
        inner = _without_none(value) if isinstance(value, dict) else value
        # A group whose values are all None says nothing; an empty one as given may have a wrong name.
        if inner is not None and (inner != {} or value == {}):
            kept[key] = inner
    return kept


def _settings_error(error: ValidationError, file: Path) -> SettingsError:
    problems = error.errors()
    where = "; ".join(
        f"setting `{'.'.join(str(part) for part in problem['loc']) or 'top level'}`" for problem in problems
    )
    messages = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in problems)
    # A whole group as input says nothing that the message does not.
    shown = "; ".join(
        repr(problem["input"]) for problem in problems if not isinstance(problem["input"], dict)
    )
    return SettingsError(
        "The settings are not valid: " + messages,
        where=where,
        found=shown,
        expected="known keys with values in range (`edpipe doctor --settings` lists them)",
        next_step=f"Correct the flag, the environment variable or `{file}`.",
    )
