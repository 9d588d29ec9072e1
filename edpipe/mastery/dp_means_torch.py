"""DP-means with the distances of a torch device; labels are those of the CPU path, bit for bit."""

from __future__ import annotations

import numpy as np
import torch

from edpipe.datasets.strategy import Ints, Places
from edpipe.mastery.dp_means_kernels import LANES, Floats, Singles, Values
from edpipe.mastery.dp_means_points import DensePoints, slack_of

BLOCK_VALUES = 2**26  # distances held on the device at once: 256 MiB
MOST_CANDIDATES = 4


class TorchPoints(DensePoints):
    """Points whose products with centers are computed on a torch device, in single precision without TF32.

    The device gives the few centers that may be nearest; which of them is, and how far, is settled on the CPU
    in double precision, as :class:`DensePoints` does, and means are summed there in the order of rows. So no
    result depends on how the device rounds or in which order it adds.

    Parameters
    ----------
    values, weights
        As for :class:`DensePoints`.
    device
        Name of a torch device.
    """

    def __init__(self, values: Values, weights: Floats | None = None, *, device: str = "cpu") -> None:
        super().__init__(values, weights)
        self._device = torch.device(device)
        self._on_device = torch.from_numpy(self.values.astype(np.float32)).to(self._device)

    def subset(self, rows: Places) -> TorchPoints:
        """Return some of the points, on the same device."""
        return TorchPoints(self.values[rows], self._weights[rows], device=str(self._device))

    def nearest(self, centers: Floats, rows: Places | None = None) -> tuple[Ints, Floats]:
        """Return the nearest center of some or all points, and the exact squared distance to it."""
        values = self.values if rows is None else self.values[rows]
        lengths = self._lengths if rows is None else self._lengths[rows]
        taken = self._on_device if rows is None else self._on_device[torch.from_numpy(rows).to(self._device)]
        label, squared = np.empty(len(values), dtype=np.int32), np.empty(len(values))
        single = torch.from_numpy(centers.astype(np.float32)).to(self._device)
        norms = torch.from_numpy(np.square(centers).sum(axis=1).astype(np.float32)).to(self._device)
        slack = slack_of(lengths, centers)
        step = max(1, BLOCK_VALUES // len(centers))
        for top in range(0, len(values), step):
            block = slice(top, top + step)
            candidates, is_sure = _candidates(taken[block], single, norms, slack[block])
            label[block], squared[block] = _settled(values[block], centers, candidates)
            unsure = np.flatnonzero(~is_sure)
            if unsure.size:
                # More centers are about equally near than were brought: all are looked at here.
                found = DensePoints(values[block][unsure]).nearest(centers)
                label[top + unsure], squared[top + unsure] = found
        return label, squared


def _candidates(
    values: torch.Tensor, centers: torch.Tensor, norms: torch.Tensor, slack: Floats
) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return the centers that may be nearest, rising, the last repeated, and whether these are all.

    Shapes ``(points, at most MOST_CANDIDATES)`` and ``(points,)``.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        distance = norms - 2 * (values @ centers.T)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    count = min(MOST_CANDIDATES, len(centers))
    found = distance.topk(count, largest=False)
    nearest: Singles = found.values.cpu().numpy()
    order: Ints = found.indices.to(torch.int32).cpu().numpy()
    # The limit is rounded up: a center too many costs a distance, one too few a wrong label.
    limit = np.nextafter((nearest[:, 0] + slack).astype(np.float32), np.float32(np.inf))
    may_be = nearest <= limit[:, None]
    is_sure = ~may_be[:, -1] if count < len(centers) else np.ones(len(order), dtype=bool)
    candidates = np.where(may_be, order, order[:, :1])
    return np.sort(candidates, axis=1), is_sure


def _settled(values: Values, centers: Floats, candidates: Ints) -> tuple[Ints, Floats]:
    """Return the nearest of the candidates, the first of equals, and the squared distance to it.

    Coordinates are added in the order of :func:`~edpipe.mastery.dp_means_kernels.squared_distance`.
    """
    label, squared = candidates[:, 0].copy(), np.full(len(values), np.inf)
    for column in range(candidates.shape[1]):
        rows = np.arange(len(values)) if column == 0 else np.flatnonzero(candidates[:, column] != label)
        center = candidates[rows, column]
        lanes = np.zeros((LANES, len(rows)))
        for axis in range(centers.shape[1]):
            lanes[axis % LANES] += (values[rows, axis].astype(np.float64) - centers[center, axis]) ** 2
        total = np.zeros(len(rows))
        for lane in lanes:
            total += lane
        is_nearer = total < squared[rows]
        label[rows[is_nearer]] = center[is_nearer]
        squared[rows[is_nearer]] = total[is_nearer]
    return label, squared
