"""Each student's mastery of each KC: what the tracer expects if the KC's items were asked now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edpipe.datasets.tracing import Split, TracingDataset
from edpipe.datasets.vocabulary import PADDING, UNKNOWN, Vocabulary
from edpipe.prediction.tracing import LoadedTracer, check_steps, load_tracer

if TYPE_CHECKING:
    from torch import Tensor

    from models.batches import InteractionBatch

PROBES_A_KC = 5
# Scores of one attention layer and head held at a time: students x probes x steps.
SCORE_BUDGET = 8_000_000
ROWS_A_PIECE = 4_000_000

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Probes:
    """Items that stand for the KCs.

    Attributes
    ----------
    items
        Item numbers in the tracer's vocabulary. Shape ``(num_probes,)``.
    kcs
        KC numbers of each, right-padded with 0. Shape ``(num_probes, width)``.
    weights
        Share of each probe in each KC's mastery; rows sum to 1. Shape ``(num_kcs, num_probes)``.
    """

    items: Integers
    kcs: Integers
    weights: NDArray[np.float64]


def mastery(
    tracer: LoadedTracer | Path,
    dataset: TracingDataset,
    split: Split | None = None,
    *,
    probes_a_kc: int = PROBES_A_KC,
) -> Iterator[pl.DataFrame]:
    """Yield every student's mastery of every KC, in bounded memory.

    Mastery is the mean probability of a right answer, after the student's whole history, over the KC's
    items that training students answered most; a KC without one is asked as an unknown item. The tracer
    looks at the latest answers, as many as it was trained to.

    Parameters
    ----------
    tracer
        A loaded tracer, or the folder of its run.
    dataset
        Answers so far.
    split
        Students to take; None takes all.
    probes_a_kc
        Most items that stand for a KC.

    Yields
    ------
    polars.DataFrame
        ``student_key, kc_key, mastery, num_opportunities`` (answers to items with the KC so far).
    """
    from edpipe.datasets.tracing_batches import Encoder

    loaded = load_tracer(tracer) if isinstance(tracer, Path) else tracer
    check_steps(loaded, dataset)
    probes = choose_probes(dataset, loaded.vocabulary, probes_a_kc)
    encoder = Encoder.of(dataset, loaded.vocabulary)
    students = dataset.students(split)
    length = loaded.context_length
    batch_size = max(1, SCORE_BUDGET // (length * max(1, len(probes.items))))
    for start in range(0, len(students), batch_size):
        chosen = students[start : start + batch_size]
        end = dataset.offsets[chosen + 1]
        begin = np.maximum(dataset.offsets[chosen], end - length)
        batch, _ = encoder.encode(np.stack([begin, begin, end], axis=1))
        values = _ask(loaded, batch, probes)
        yield _frame(dataset, chosen, values)


def choose_probes(dataset: TracingDataset, vocabulary: Vocabulary, probes_a_kc: int = PROBES_A_KC) -> Probes:
    """Choose the items most answered by training students for each KC of the catalog."""
    practice = _practice(dataset)
    numbers = dataset.item_numbers(vocabulary)
    names = {kc: index for index, kc in enumerate(dataset.kc_ids)}
    of_kc: list[list[int]] = [[] for _ in dataset.kc_ids]
    for item in np.argsort(-practice, kind="stable"):
        if practice[item] == 0 or numbers[item] == UNKNOWN:
            continue
        for kc in dataset.item_kcs[item]:
            if len(of_kc[names[kc]]) < probes_a_kc:
                of_kc[names[kc]].append(int(item))
    asked = sorted({item for items in of_kc for item in items})
    place = {item: index for index, item in enumerate(asked)}
    bare = [kc for kc, items in enumerate(of_kc) if not items]
    table = dataset.kc_table(vocabulary)
    alone = np.full((len(bare), table.shape[1]), PADDING, dtype=np.int64)
    alone[:, 0] = vocabulary.kc_numbers([dataset.kc_ids[kc] for kc in bare])
    weights = np.zeros((len(of_kc), len(asked) + len(bare)))
    for kc, items in enumerate(of_kc):
        weights[kc, [place[item] for item in items]] = 1 / max(1, len(items))
    weights[bare, len(asked) + np.arange(len(bare))] = 1.0
    return Probes(
        np.concatenate([numbers[asked], np.full(len(bare), UNKNOWN)]).astype(np.int64),
        np.concatenate([table[asked], alone]),
        weights,
    )


def _ask(tracer: LoadedTracer, batch: InteractionBatch, probes: Probes) -> NDArray[np.float64]:
    """Return mastery of every KC. Shape ``(num_students, num_kcs)``."""
    import torch

    device = next(tracer.model.parameters()).device
    history = batch.to(device)
    room = max(1, SCORE_BUDGET // max(1, batch.items.numel()))
    answers: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(probes.items), room):
            items = torch.from_numpy(probes.items[start : start + room]).to(device)
            kcs = torch.from_numpy(probes.kcs[start : start + room]).to(device)
            answers.append(tracer.model.probe(history, items, kcs).double().cpu())
    expected: NDArray[np.float64] = torch.cat(answers, dim=1).numpy() @ probes.weights.T
    return expected


def _practice(dataset: TracingDataset) -> Integers:
    """Count the training students' answers to each item of the catalog, a piece at a time."""
    counts = np.zeros(len(dataset.item_keys), dtype=np.int64)
    in_training = np.zeros(dataset.num_students, dtype=bool)
    in_training[dataset.students("train")] = True
    items = dataset.columns["item"]
    for start in range(0, len(items), ROWS_A_PIECE):
        rows = np.arange(start, min(start + ROWS_A_PIECE, len(items)))
        student = np.searchsorted(dataset.offsets, rows, side="right") - 1
        chosen = np.asarray(items[rows])[in_training[student]]
        counts += np.bincount(chosen, minlength=len(counts))
    return counts


def _frame(dataset: TracingDataset, students: Integers, values: NDArray[np.float64]) -> pl.DataFrame:
    num_kcs = len(dataset.kc_keys)
    columns: dict[str, Any] = {
        "student_key": np.repeat(np.asarray(dataset.columns["student_key"][students]), num_kcs),
        "kc_key": np.tile(dataset.kc_keys, len(students)),
        "mastery": values.reshape(-1),
        "num_opportunities": np.concatenate([_opportunities(dataset, row) for row in students]),
    }
    return pl.DataFrame(columns)


def _opportunities(dataset: TracingDataset, student: int) -> Integers:
    """Count one student's answers by KC. Shape ``(num_kcs,)``."""
    span = slice(int(dataset.offsets[student]), int(dataset.offsets[student + 1]))
    num_kcs = len(dataset.kc_keys)
    if dataset.steps == "rows":
        members = np.asarray(dataset.columns["kc"][span])
    else:
        members = dataset.kc_members[np.asarray(dataset.columns["item"][span])]
    return np.bincount(members[members >= 0], minlength=num_kcs).astype(np.int64)
