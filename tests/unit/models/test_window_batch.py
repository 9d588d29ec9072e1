from dataclasses import replace

import pytest
import torch
from window_batches import window_batch


def test_scaled_puts_the_target_first_and_zeros_where_nothing_is_known():
    batch = replace(window_batch(lags=(2, 5), missing=0.3), loc=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    values, observed = batch.scaled()
    assert values.shape == observed.shape == (4, 16, 3)
    expected = (batch.target - batch.loc.unsqueeze(1)) / batch.scale.unsqueeze(1)
    torch.testing.assert_close(values[..., 0][batch.observed], expected[batch.observed])
    assert (values[~observed] == 0).all()
    assert values.abs().max() < 100


def test_lag_channels_hold_earlier_values():
    values, _ = window_batch(lags=(2, 5)).scaled()
    torch.testing.assert_close(values[:, 5:, 2], values[:, :-5, 0])
    torch.testing.assert_close(values[:, 2:, 1], values[:, :-2, 0])


def test_what_stands_at_unobserved_steps_is_never_read():
    batch = window_batch(lags=(2,), missing=0.4)
    other = replace(batch, target=batch.target.where(batch.observed, torch.nan))
    other = replace(other, lags=other.lags.where(other.lags_observed, torch.inf))
    torch.testing.assert_close(other.scaled()[0], batch.scaled()[0], rtol=0, atol=0)


def test_unscale_undoes_the_scaling():
    batch = replace(window_batch(), loc=torch.full((4,), 3.0))
    values, _ = batch.scaled()
    paths = values[..., 0].unsqueeze(1).repeat(1, 5, 1)
    torch.testing.assert_close(batch.unscale(paths), batch.target.unsqueeze(1).repeat(1, 5, 1))


def test_rows_and_repeat_keep_the_columns_together():
    batch = window_batch(lags=(3,))
    assert batch.rows(slice(1, 3)).series.tolist() == [1, 2]
    repeated = batch.repeat(3)
    assert repeated.series.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    torch.testing.assert_close(repeated.lags[3:6], batch.lags[1:2].expand(3, -1, -1))
    assert {batch.to("meta").lags.device.type, batch.to("meta").series.device.type} == {"meta"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": torch.zeros(4)}, r"target must have shape \(batch, length\)"),
        ({"observed": torch.ones(4, 15, dtype=torch.bool)}, "observed must have shape"),
        ({"observed": torch.ones(4, 16)}, "observed must be boolean"),
        ({"lags": torch.zeros(4, 15, 1)}, "lags must have shape"),
        ({"lags_observed": torch.ones(4, 16, 2, dtype=torch.bool)}, "lags_observed must have shape"),
        ({"scale": torch.ones(3)}, "scale must have shape"),
    ],
)
def test_batch_refuses_columns_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        replace(window_batch(), **change)
