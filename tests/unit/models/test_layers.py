import math

import pytest
import torch

from models.layers import HistoryAttention, pair_features


def attention_by_hand(layer, queries, keys, values, distance, visible, matches):
    """One query at a time, in loops."""
    heads = layer.num_heads
    q, k, v = layer.query(queries), layer.key(keys), layer.value(values)
    size = q.shape[-1] // heads
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for i in range(q.shape[1]):
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                scores = [q[b, i, part] @ layer.empty_key[h, 0] / math.sqrt(size)]
                found = [layer.empty_value[h, 0]]
                for j in range(k.shape[1]):
                    if not visible[b, i, j]:
                        continue
                    steps = float(distance[0, i, j])
                    score = q[b, i, part] @ k[b, j, part] / math.sqrt(size)
                    score = score - layer.log_linear_decay[h].exp() * steps
                    score = score - layer.log_power_decay[h].exp() * math.log1p(steps)
                    scores.append(score + layer.match_weight[:, h] @ matches[b, :, i, j].float())
                    found.append(v[b, j, part])
                weight = torch.stack(scores).softmax(0)
                out[b, i, part] = (weight.unsqueeze(1) * torch.stack(found)).sum(0)
    return layer.output(out)


def test_history_attention_equals_its_formula():
    torch.manual_seed(0)
    layer = HistoryAttention(8, 2, 2)
    with torch.no_grad():
        layer.empty_value.normal_()
    queries, keys, values = torch.randn(3, 2, 5, 8)
    position = torch.arange(5)
    distance = (position.unsqueeze(1) - position - 1).unsqueeze(0)
    visible = (distance >= 0).expand(2, -1, -1)
    matches = torch.rand(2, 2, 5, 5) < 0.4
    given = {"distance": distance, "visible": visible, "matches": matches}
    torch.testing.assert_close(
        layer(queries, keys, values, pair_features(**given)),
        attention_by_hand(layer, queries, keys, values, **given),
    )


def test_heads_must_divide_the_size():
    with pytest.raises(ValueError, match="num_heads must divide size"):
        HistoryAttention(8, 3, 1)
