"""Attempts as points: student, section and problem vector side by side, without ever building them."""

from __future__ import annotations

import numpy as np

from edpipe.datasets.strategy import Ints, Places
from edpipe.mastery.dp_means_kernels import (
    CHUNK,
    Floats,
    Singles,
    fill_table,
    settle_instances,
    sums_of_instances,
)
from edpipe.mastery.dp_means_points import checked_weights, keep_nearer, lengths_of, slack_of
from edpipe.mastery.embedding import Vectors

Parts = tuple[Singles, Singles, Singles]

TABLE_VALUES = 2**26  # distances held at once: 256 MiB
STUDENTS_AT_ONCE = 1024
FAR_AWAY = np.float32(1e37)  # from centers that fill up a table


class InstancePoints:
    r"""Points :math:`x = [e_s; e_h; e_p]` kept as three codes each.

    A squared distance splits in three, :math:`\lVert x - \mu \rVert^2 = \lVert e_s - \mu_s \rVert^2 +
    \lVert e_h - \mu_h \rVert^2 + \lVert e_p - \mu_p \rVert^2`. So one pass computes tables of students, of
    sections and of problems against the centers, and looks up three numbers for each point and center.
    Centers are taken in tiles, so that tables stay below 256 MiB. Which center is nearest, and how far, is
    settled in double precision: results are those of the same points built.

    Parameters
    ----------
    keys
        Student, section and problem of each instance, as rows of the vectors. Shape ``(num_instances, 3)``.
    students, sections, problems
        Shape ``(…, dim)`` each.
    weights
        How often each instance stands. Shape ``(num_instances,)``; by default 1.
    """

    def __init__(
        self,
        keys: Ints,
        students: Vectors,
        sections: Vectors,
        problems: Vectors,
        weights: Floats | None = None,
    ) -> None:
        if keys.ndim != 2 or keys.shape[1] != 3 or not len(keys):
            raise ValueError(f"keys must have shape (num_instances, 3); got {keys.shape}.")
        self.keys = np.ascontiguousarray(keys, dtype=np.int32)
        self.parts = (
            np.ascontiguousarray(students, dtype=np.float32),
            np.ascontiguousarray(sections, dtype=np.float32),
            np.ascontiguousarray(problems, dtype=np.float32),
        )
        for column, part in enumerate(self.parts):
            if keys[:, column].min() < 0 or keys[:, column].max() >= len(part):
                raise ValueError(f"keys of column {column} must be rows of its {len(part)} vectors.")
        self._weights = checked_weights(weights, len(keys))
        self._longest = np.array([float(np.sqrt(sum(lengths_of(part).max() ** 2 for part in self.parts)))])
        # Work goes by section, problem and student of so many students at a time: their table stays in cache.
        group = self.keys[:, 0] // STUDENTS_AT_ONCE
        self._order = np.lexsort((*self.keys.T[[0, 2, 1]], group))
        self._rank = np.empty(len(keys), dtype=np.int32)
        self._rank[self._order] = np.arange(len(keys), dtype=np.int32)
        self._weights_in_order = self._weights[self._order]
        self._codes, self._in_use = _used(self.keys[self._order], self.parts)

    @property
    def weights(self) -> Floats:
        """How often each instance stands. Shape ``(num_instances,)``."""
        return self._weights

    def subset(self, rows: Places) -> InstancePoints:
        """Return some of the instances, over the same vectors."""
        students, sections, problems = self.parts
        return InstancePoints(self.keys[rows], students, sections, problems, self._weights[rows])

    def vectors(self, rows: Places) -> Floats:
        """Return the coordinates of some instances. Shape ``(len(rows), 3 * dim)``."""
        found = [part[self.keys[rows, column]] for column, part in enumerate(self.parts)]
        return np.concatenate(found, axis=1).astype(np.float64)

    def nearest(self, centers: Floats, rows: Places | None = None) -> tuple[Ints, Floats]:
        """Return the nearest center of some or all instances, and the exact squared distance to it."""
        codes, parts, order = self._codes, self._in_use, self._order
        if rows is not None:
            order = np.argsort(self._rank[rows])
            codes, parts = _used(codes[self._rank[rows][order]], parts)
        label = np.zeros(len(codes), dtype=np.int32)
        squared = np.full(len(codes), np.inf)
        step = max(64, TABLE_VALUES // sum(len(part) for part in parts))
        for begin in range(0, len(centers), step):
            tile = np.ascontiguousarray(centers[begin : begin + step])
            found, found_squared = np.empty_like(label), np.empty_like(squared)
            slack = float(slack_of(self._longest, tile)[0])
            settle_instances(codes, order, _tables(parts, tile), slack, parts, tile, found, found_squared)
            keep_nearer(label, squared, found, found_squared, begin)
        return label, squared

    def sums(self, labels: Ints, num_centers: int) -> Floats:
        """Return the weighted sum of the instances of each center. Shape ``(num_centers, 3 * dim)``."""
        sums: Floats = sums_of_instances(
            self._codes, self._order, self._weights_in_order, labels, self._in_use, num_centers
        )
        return sums


def _used(keys: Ints, parts: Parts) -> tuple[Ints, Parts]:
    """Return the keys as rows of the vectors that they name, and these."""
    codes, found = np.empty_like(keys), []
    for column, part in enumerate(parts):
        is_used = np.zeros(len(part), dtype=bool)
        is_used[keys[:, column]] = True
        codes[:, column] = (np.cumsum(is_used, dtype=np.int32) - 1)[keys[:, column]]
        found.append(part[is_used])
    students, sections, problems = found
    return codes, (students, sections, problems)


def _tables(parts: Parts, centers: Floats) -> Parts:
    """Return the parts of the squared distances, less the length of the instance's own vector."""
    ends = np.cumsum([part.shape[1] for part in parts])
    students, sections, problems = np.split(centers.astype(np.float32), ends[:2], axis=1)
    return _table(parts[0], students), _table(parts[1], sections), _table(parts[2], problems)


def _table(vectors: Singles, centers: Singles) -> Singles:
    """Return squared distances less the squared lengths of the vectors. Shape ``(vectors, columns)``."""
    filled = np.zeros((-(-len(centers) // CHUNK) * CHUNK, centers.shape[1]), dtype=np.float32)
    filled[: len(centers)] = centers
    norms = np.full(len(filled), FAR_AWAY)
    norms[: len(centers)] = np.square(centers).sum(axis=1)
    table = np.empty((len(vectors), len(filled)), dtype=np.float32)
    fill_table(vectors, np.ascontiguousarray(-2 * filled.T), norms, table)
    return table


def instance_points(
    keys: Ints, students: Vectors, sections: Vectors, problems: Vectors
) -> tuple[InstancePoints, Places]:
    """Return each different instance once, weighted by how often it stands, and the place of each row.

    ``points, place = instance_points(…)``; the labels of the rows are ``dp_means(points, …).labels[place]``.
    """
    different, place, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    points = InstancePoints(different, students, sections, problems, count.astype(np.float64))
    return points, place.reshape(-1)
