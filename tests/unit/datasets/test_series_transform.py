import numpy as np
import pytest
from series_data import weekly_series

from edpipe.datasets.series_transform import LARGEST_LOGARITHM, restored, transformed


@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
def test_values_come_back_and_gaps_stay_gaps(transform):
    series = weekly_series()
    series.values[::5] = np.nan
    series.values[1] = 0.0
    seen = transformed(series, transform)
    np.testing.assert_allclose(restored(seen.values, transform), series.values, rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(seen.values), np.isnan(series.values))
    assert seen.values.dtype == np.float32


def test_order_is_kept_so_quantiles_are():
    values = np.linspace(0, 50, 101, dtype=np.float32)
    for transform in ("sqrt", "log1p"):
        assert (np.diff(restored(values, transform)) > 0).all()


def test_paths_far_out_stay_numbers():
    far = np.array([LARGEST_LOGARITHM * 10, -3.0], dtype=np.float32)
    assert np.isfinite(restored(far, "log1p")).all()
    assert restored(far, "sqrt")[1] == 0
