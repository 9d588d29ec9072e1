"""Samples, predictors and equity of strategies: planted learning curves, ablations, and the published slice.

    python benchmarks/mvec.py [--parts curve,network,ablations,splits,slice] [--students 600] [--seeds 5]

The planted world has five strategies a problem and 30 % departures (see `mvec_world.py`). Parts:

curve      every sampler at every budget, with learners that need no training (the lookup, the lookup within
           student clusters): `mvec_curve.csv`
network    the transformer at a tenth for every sampler and at all attempts, at equal epochs and equal steps,
           and its whole curve for `--curve-samplers`: `mvec_network.csv`
ablations  our sampler at a tenth with parts changed: `mvec_ablations.csv`
splits     the predictor on all five splits beside the baselines: `mvec_splits.csv`
slice      five folds by student of the published slice: `mvec_slice.csv`

`mvec_targets.csv` sums up what was asked for, beside what could be foretold at best in the planted world:
`best` knows the planted chances and the student's group, `best_by_history` infers the group from earlier
attempts. Another `--world-seed` draws another planted world; its tables are called `…_world8.csv` and so on.

A part goes on where it stopped: points are kept in `--home`.
Seconds are of one thread; measure on a quiet machine.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from mvec_best import best_values
from mvec_slice import measure_slice, slice_path
from mvec_world import (
    WORLD_SEED,
    World,
    baseline,
    benchmark_settings,
    kmeans_clusters,
    learned_world,
    network,
    planted_world,
    random_embedding,
)
from scipy.stats import t as student_t

from edpipe.datasets.samplers import SAMPLERS, budget_of, make_sampler
from edpipe.datasets.strategy_splits import SPLIT_KINDS
from edpipe.evaluation.strategy.baselines import cluster_lookup, lookup, strategy_baselines
from edpipe.evaluation.strategy.learning_curve import BUDGETS, Learner, Lesson, learning_curve
from edpipe.evaluation.strategy.score import score_strategies
from edpipe.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
PARTS = ("curve", "network", "ablations", "splits", "slice")
TENTH = 0.1
# Facility location and k-center take minutes at large budgets and are no better there than at small ones.
SLOW = {"kcenter": 0.2, "facility": 0.2, "coreset": 0.5}


def main() -> None:
    given = _arguments()
    torch.set_num_threads(1)
    settings = benchmark_settings(max_epochs=given.epochs, beam_size=given.beam)
    seeds = tuple(range(given.seeds))
    parts = given.parts.split(",")
    if set(parts) - {"slice"}:
        world = planted_world(given.students, given.split, settings, seed=given.world_seed)
        print(
            f"{len(world.split.train):,} training and {len(world.split.test):,} test attempts, "
            f"{world.clusters.num_clusters:,} clusters; at best {world.truth.world.bayes_exact_match:.3f}"
        )
        if "curve" in parts:
            write("mvec_curve.csv", curve_of(curve(world, settings, seeds, given)), given)
        if "network" in parts:
            measured = network_curve(world, settings, seeds, given)
            write("mvec_network.csv", measured, given)
            write("mvec_targets.csv", targets(measured, world, settings), given)
        if "ablations" in parts:
            write("mvec_ablations.csv", ablations(world, settings, seeds, given), given)
        if "splits" in parts:
            write("mvec_splits.csv", splits(world, settings, given), given)
    if "slice" in parts:
        if not slice_path().exists():
            print(f"The slice is not here: {slice_path()}; set EDPIPE_REAL_DATA.")
            return
        models = {
            name: benchmark_settings(model=name, max_epochs=given.epochs) for name in ("transformer", "lstm")
        }
        write("mvec_slice.csv", measure_slice(models), given)


def curve(
    world: World, settings: Settings, seeds: tuple[int, ...], given: argparse.Namespace
) -> pl.DataFrame:
    """Return the curve of learners without training, for every sampler."""
    found = [
        measured(
            world,
            settings,
            plain_learners(world),
            given.home / f"curve-{_world_name(given)}-{sampler}.parquet",
            samplers=[sampler],
            budgets=[budget for budget in BUDGETS if budget <= SLOW.get(sampler, 1.0)],
            seeds=seeds,
        )
        for sampler in SAMPLERS
    ]
    return pl.concat(found)


def plain_learners(world: World) -> dict[str, Learner]:
    """Return the learners that need no training."""
    return {
        "lookup": baseline(world, lookup),
        "cluster_lookup": baseline(world, lambda: cluster_lookup(world.embedding, world.clusters)),
    }


def network_curve(
    world: World, settings: Settings, seeds: tuple[int, ...], given: argparse.Namespace
) -> pl.DataFrame:
    """Return what the network reaches: all samplers at a tenth, some at every budget, and everything."""
    learners = {settings.strategy.model: network(world, settings)}
    file = given.home / f"network-{_world_name(given)}-{given.epochs}.parquet"
    several: dict[str, Any] = {"seeds": seeds}
    samplers = [name for name in given.samplers.split(",") if name != "all"]
    measured(world, settings, learners, file, samplers=samplers, budgets=[TENTH], **several)
    found = measured(world, settings, learners, file, samplers=["all"], budgets=[1.0], **several)
    if given.steps:
        found = measured(
            world, settings, learners, file, samplers=samplers, budgets=[TENTH], equals=["steps"], **several
        )
    if given.curve_samplers:
        found = measured(
            world,
            settings,
            learners,
            file,
            samplers=given.curve_samplers.split(","),
            budgets=[budget for budget in BUDGETS if budget < 1.0],
            **several,
        )
    return found


def ablations(
    world: World, settings: Settings, seeds: tuple[int, ...], given: argparse.Namespace
) -> pl.DataFrame:
    """Return our sampler at a tenth with one part changed at a time."""

    def again(**changed: dict[str, Any]) -> World:
        updates = {
            group: getattr(settings, group).model_copy(update=values) for group, values in changed.items()
        }
        other = settings.model_copy(update=updates)
        embedding = None if "embedding" in changed else world.embedding
        return learned_world(world.truth, world.split, other, embedding=embedding)

    with_kmeans = replace(world, clusters=kmeans_clusters(world, settings.seed))
    blind = learned_world(
        world.truth, world.split, settings, embedding=random_embedding(world.embedding, settings.seed)
    )
    variants: dict[str, World] = {
        "ours": world,
        "student clusters": world,
        "no mastery weights": again(embedding={"mastery_exponent": 0.0}),
        "random vectors": blind,
        "k-means at equal K": with_kmeans,
        "one radius": again(clusters={"max_rounds": 1}),
        "no symmetry test": again(clusters={"symmetry_threshold": 1.0}),
        "instances": again(clusters={"level": "instances"}),
        "beta 0": world,
        "beta 1": world,
    }
    found = []
    for name, variant in variants.items():
        exponent = {"beta 0": 0.0, "beta 1": 1.0}.get(name, settings.strategy.cluster_exponent)
        # Clusters of students matter only where they say who is alike.
        learners = "groups" if name in ("ours", "beta 0", "beta 1") else "clusters"
        options = settings.strategy.model_copy(update={"cluster_exponent": exponent, "learners": learners})
        # The learner is that of our world, so that only the sample differs.
        predictors = plain_learners(world)
        if given.ablate_network:
            predictors[settings.strategy.model] = network(world, settings)
        points = measured(
            world,
            settings.model_copy(update={"strategy": options}),
            predictors,
            given.home / f"ablation-{_world_name(given)}-{name.replace(' ', '_')}.parquet",
            clusters=variant.clusters,
            samplers=["clusters"],
            budgets=[TENTH],
            seeds=seeds,
        )
        found.append(points.select(pl.lit(name).alias("variant"), pl.all()))
    return pl.concat(found)


def splits(world: World, settings: Settings, given: argparse.Namespace) -> pl.DataFrame:
    """Return the predictor learned from our tenth beside the baselines learned from all, on five splits."""
    found = []
    for kind in SPLIT_KINDS:
        here = (
            world
            if kind == given.split
            else planted_world(given.students, kind, settings, seed=given.world_seed)
        )
        pool = here.pool
        rows = make_sampler("clusters", settings).sample(pool, budget_of(TENTH, len(pool)))
        said = {"ours": network(here, settings)(Lesson(rows, settings.seed))(here.split.test)}
        dataset = here.truth.dataset
        for one in strategy_baselines(
            embedding=here.embedding, clusters=here.clusters, groups=here.groups.keys
        ):
            said[one.name] = one.fit(dataset, here.split.train).predict(dataset, here.split.test)
        scores = score_strategies(dataset, said, here.split.train, groups=here.groups, seed=settings.seed)
        # Each group's own figures would be most of the table; their gap stands for them.
        is_group = pl.col("subset").str.starts_with("mastery:") & (pl.col("subset") != "mastery:gap")
        found.append(scores.metrics.filter(~is_group).with_columns(split=pl.lit(kind)))
    return pl.concat(found)


def measured(
    world: World,
    settings: Settings,
    learners: dict[str, Learner],
    file: Path,
    *,
    clusters: Any = None,
    **combined: Any,
) -> pl.DataFrame:
    """Return points of a learning curve, printed as they come."""
    pool = world.pool if clusters is None else replace(world.pool, clusters=clusters)

    def tell(point: pl.DataFrame) -> None:
        first = point.row(0, named=True)
        values = dict(point.select("metric", "value").rows())
        print(
            f"{first['sampler']:>9} {first['model']:>14} {first['budget']:6.1%} seed {first['seed']} "
            f"{first['equal']:>6}  exact {values['exact_match']:.3f}  expected "
            f"{values['expected_exact_match']:.3f}  gap {values['expected_gap_planted']:.3f} planted, "
            f"{values['expected_gap_fifths']:.3f} fifths  "
            f"{first['seconds_total']:.1f} s",
            flush=True,
        )

    return learning_curve(
        pool,
        world.split.test,
        learners,
        settings,
        groups=world.groups,
        seconds_embedding=world.seconds_embedding,
        seconds_clusters=world.seconds_clusters,
        file=file,
        on_point=tell,
        measure=world.truths,
        **combined,
    )


def over_seeds(values: Any) -> dict[str, float]:
    """Return the mean of one figure over seeds, with Student's interval of 95 %."""
    count = len(values)
    half = student_t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    mean = values.mean()
    return {"value": mean, "low": mean - half, "high": mean + half, "num_seeds": count}


def curve_of(points: pl.DataFrame) -> pl.DataFrame:
    """Return one row a sampler, learner, budget and metric, over seeds."""
    keys = ["sampler", "model", "budget", "num_attempts", "equal", "metric"]
    rows = []
    for key, part in points.group_by(keys, maintain_order=True):
        seconds = {name: part[name].mean() for name in ("seconds_sampler", "seconds_total")}
        rows.append({**dict(zip(keys, key, strict=True)), **over_seeds(part["value"].to_numpy()), **seconds})
    return pl.DataFrame(rows)


def targets(points: pl.DataFrame, world: World, settings: Settings) -> pl.DataFrame:
    """Return each sampler at a tenth beside all attempts and what is best, with intervals over seeds."""
    best, by_history = (
        best_values(world, knows_group=knows_group, seed=settings.seed) for knows_group in (True, False)
    )
    equal = points.filter(pl.col("equal") == "epochs")
    wanted = ["exact_match", "expected_exact_match", "departure_recall", "mastery_gap"]
    wanted += ["expected_gap_planted", "expected_gap_fifths"]
    rows = []
    for metric in wanted:
        each = equal.filter(pl.col("metric") == metric)
        full = each.filter(pl.col("sampler") == "all")["value"].to_numpy()
        for (sampler,), part in each.filter(pl.col("budget") == TENTH).group_by(
            "sampler", maintain_order=True
        ):
            values = part["value"].to_numpy()
            rows.append(
                {
                    "sampler": sampler,
                    "metric": metric,
                    **over_seeds(values),
                    "of_all": values.mean() / full.mean() if len(full) else np.nan,
                    "all": full.mean() if len(full) else np.nan,
                    "best": best[metric],
                    "best_by_history": by_history[metric],
                    "seconds_sampler": part["seconds_sampler"].mean(),
                    "seconds_total": part["seconds_total"].mean(),
                }
            )
    return pl.DataFrame(rows)


def write(name: str, frame: pl.DataFrame, given: argparse.Namespace) -> None:
    """Write one table, replaced by rename."""
    if given.world_seed != WORLD_SEED and name != "mvec_slice.csv":
        name = name.replace(".csv", f"_world{given.world_seed}.csv")
    given.results.mkdir(parents=True, exist_ok=True)
    frame.write_csv(given.results / f".{name}", float_precision=5)
    (given.results / f".{name}").replace(given.results / name)
    print(f"wrote {given.results / name}")


def _world_name(given: argparse.Namespace) -> str:
    name = f"{given.split}-{given.students}"
    return name if given.world_seed == WORLD_SEED else f"{name}-world{given.world_seed}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--students", type=int, default=600)
    parser.add_argument("--world-seed", type=int, default=WORLD_SEED, help="of the planted truth")
    parser.add_argument("--split", default="published", choices=SPLIT_KINDS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="for the network at a tenth")
    parser.add_argument("--curve-samplers", default="clusters,uniform", help="for the network at all budgets")
    parser.add_argument("--steps", action="store_true", help="also at equal steps")
    parser.add_argument("--ablate-network", action="store_true", help="ablations with the network too")
    parser.add_argument("--home", type=Path, default=REPOSITORY / "data" / "benchmarks" / "mvec")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
