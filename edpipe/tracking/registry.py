"""The model registry: versions, and the aliases ``champion`` and ``challenger``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edpipe.errors import RegistryError
from edpipe.settings import Settings
from edpipe.tracking.client import open_client
from edpipe.tracking.runs import RUN_KEY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
DATA_FINGERPRINT = "data.fingerprint"
SPLIT = "data.split"
# MLflow refuses longer descriptions and tags on some stores; the card is whole in the artifacts.
LONGEST_DESCRIPTION = 5000
# How MLflow names a model that a run logged.
LOGGED = "models:/"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version.

    Attributes
    ----------
    name, version
        ``tracing`` or ``strategy``, and 1, 2, ….
    run_id, run_key
        The MLflow run, and the training run's folder name.
    source
        Where the model is, for ``mlflow.pyfunc.load_model``.
    tags
        Validation scores, data fingerprint, split.
    aliases
        ``champion``, ``challenger`` or none.
    """

    name: str
    version: int
    run_id: str
    run_key: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """Address for ``mlflow.pyfunc.load_model``."""
        return f"models:/{self.name}/{self.version}"

    @property
    def data(self) -> tuple[str, str]:
        """Data fingerprint and split: two versions with the same were validated on the same rows."""
        return self.tags.get(DATA_FINGERPRINT, ""), self.tags.get(SPLIT, "")


def valid_tag(metric: str) -> str:
    """Return the tag that holds a score on validation rows."""
    return f"valid.{metric}"


def register(
    settings: Settings,
    *,
    run_id: str,
    run_key: str,
    source: str,
    name: str = "tracing",
    tags: Mapping[str, str] | None = None,
    description: str = "",
) -> ModelVersion:
    """Register a logged model; a second call for the same run key returns the version that is there.

    Parameters
    ----------
    settings
        Where the registry is.
    run_id
        MLflow run that logged the model.
    run_key
        Key of the training run.
    source
        Address of the logged model.
    name
        Registered name.
    tags
        Validation scores, data fingerprint and split, for :func:`edpipe.tracking.promotion.promote`.
    description
        Model card, Markdown; cut after 5,000 characters.
    """
    client = open_client(settings)
    for known in _search(client, name):
        if known.run_key == run_key:
            return known
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Registered by edpipe.")
    made = client.create_model_version(
        name,
        source,
        run_id,
        tags={**(tags or {}), RUN_KEY: run_key},
        description=description[:LONGEST_DESCRIPTION],
        # A server refuses a source whose model it is not told; a store of files does not ask.
        model_id=source.removeprefix(LOGGED) if source.startswith(LOGGED) else None,
    )
    return _version(made)


def versions(settings: Settings, name: str = "tracing") -> list[ModelVersion]:
    """Return all versions, oldest first; empty if nothing is registered.

    Raises
    ------
    RegistryError
        If the registry does not answer.
    """
    client = open_client(settings)
    from mlflow.exceptions import MlflowException

    try:
        return _search(client, name)
    except MlflowException as error:
        raise RegistryError(
            "The registry does not answer.",
            where=settings.mlflow_uri,
            found=str(error).splitlines()[0],
            expected="an MLflow store that can be read",
            next_step="Check `tracking_uri`; `edpipe doctor` looks at servers.",
        ) from error


def champion(settings: Settings, name: str = "tracing") -> ModelVersion:
    """Return the champion.

    Raises
    ------
    RegistryError
        If there is none.
    """
    known = versions(settings, name)
    for version in known:
        if CHAMPION in version.aliases:
            return version
    raise RegistryError(
        f"There is no champion among the models registered as `{name}`.",
        where=f"registry {settings.mlflow_uri}, alias `{CHAMPION}`",
        found=_listed(known),
        next_step=f"Run `edpipe train {name}`, `edpipe evaluate {name}` and `edpipe promote {name}`.",
    )


def get_version(settings: Settings, name: str = "tracing", version: int | None = None) -> ModelVersion:
    """Return one version, the newest by default.

    Raises
    ------
    RegistryError
        If it does not exist; known ones are listed.
    """
    known = versions(settings, name)
    wanted = [one for one in known if version is None or one.version == version]
    if not wanted:
        raise RegistryError(
            f"There is no version {version} of `{name}`."
            if version
            else f"No model is registered as `{name}`.",
            where=f"registry {settings.mlflow_uri}",
            found=_listed(known),
            next_step="Name one of these."
            if known
            else f"Run `edpipe train {name}`, then `edpipe evaluate {name}`.",
        )
    return wanted[-1]


def set_alias(settings: Settings, version: ModelVersion, alias: str) -> None:
    """Point an alias at a version, away from where it was."""
    open_client(settings).set_registered_model_alias(version.name, alias, str(version.version))


def delete_alias(settings: Settings, name: str, alias: str) -> None:
    """Take an alias away; nothing happens if it points nowhere."""
    open_client(settings).delete_registered_model_alias(name, alias)


def set_version_tags(settings: Settings, version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Record tags on a version."""
    client = open_client(settings)
    for key, value in tags.items():
        client.set_model_version_tag(version.name, str(version.version), key, value)


def delete_version_tags(settings: Settings, version: ModelVersion, keys: Iterable[str]) -> None:
    """Take tags of a version away."""
    client = open_client(settings)
    for key in keys:
        client.delete_model_version_tag(version.name, str(version.version), key)


def _search(client: MlflowClient, name: str) -> list[ModelVersion]:
    aliases: dict[int, list[str]] = {}
    for model in client.search_registered_models(f"name = '{name}'"):
        for alias, version in model.aliases.items():
            aliases.setdefault(int(version), []).append(alias)
    found = []
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += [_version(made, tuple(sorted(aliases.get(int(made.version), [])))) for made in page]
        token = page.token
        if not token:
            return sorted(found, key=lambda one: one.version)


def _version(made: MlflowVersion, aliases: tuple[str, ...] = ()) -> ModelVersion:
    tags = dict(made.tags)
    return ModelVersion(
        name=str(made.name),
        version=int(made.version),
        run_id=str(made.run_id),
        run_key=tags.get(RUN_KEY, ""),
        source=str(made.source),
        tags=tags,
        aliases=aliases,
    )


def _listed(known: list[ModelVersion]) -> str:
    if not known:
        return "no version"
    shown = [f"{one.version}" + (f" ({', '.join(one.aliases)})" if one.aliases else "") for one in known]
    return "versions " + ", ".join(shown)
