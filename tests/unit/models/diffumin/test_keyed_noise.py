import torch

from models.diffumin.keyed_noise import DrawnNoise, KeyedNoise, ZeroNoise, mixed, row_keys


def keys(number=2000, seed=7):
    return row_keys(seed, torch.arange(number), torch.ones(number, 2, dtype=torch.int64))


def test_bits_are_those_of_the_published_generator():
    # First outputs of SplitMix64 from state 0, and from 1234567.
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    state = torch.zeros(1, dtype=torch.int64)
    golden = 0x9E3779B97F4A7C15 - (1 << 64)
    for number in first:
        assert mixed(state).item() % (1 << 64) == number
        state = state + golden
    assert mixed(torch.tensor([1234567])).item() % (1 << 64) == 6457827717110365317


def test_keyed_noise_is_normal_and_its_entries_independent():
    values = KeyedNoise(keys()).normal(torch.empty(2000, 3, 8), 0).flatten(1).double()
    assert values.mean().abs() < 0.02
    assert abs(values.std() - 1) < 0.02
    assert abs(values.pow(4).mean() - 3) < 0.15
    correlation = torch.corrcoef(values.T) - torch.eye(24)
    assert correlation.abs().max() < 0.1
    rows = torch.corrcoef(values[:50]) - torch.eye(50)
    assert rows.abs().max() < 0.85


def test_keyed_integers_are_even():
    values = KeyedNoise(keys()).integers(torch.empty(2000, 10), 5, 1)
    counts = torch.bincount(values.flatten(), minlength=5)
    assert len(counts) == 5
    assert (counts / 20_000 - 0.2).abs().max() < 0.015


def test_noise_of_a_row_depends_on_its_key_alone():
    every = KeyedNoise(keys(9)).normal(torch.empty(9, 2, 4), 3)
    some = KeyedNoise(keys(9)[[7, 2]]).normal(torch.empty(2, 2, 4), 3)
    assert torch.equal(some, every[[7, 2]])


def test_purpose_seed_student_and_each_field_change_the_noise():
    base = row_keys(1, torch.tensor([5]), torch.tensor([[2, 3]]))
    others = [
        row_keys(2, torch.tensor([5]), torch.tensor([[2, 3]])),
        row_keys(1, torch.tensor([6]), torch.tensor([[2, 3]])),
        row_keys(1, torch.tensor([5]), torch.tensor([[3, 2]])),
        row_keys(1, torch.tensor([5]), torch.tensor([[2, 4]])),
    ]
    assert len({key.item() for key in [base, *others]}) == 5
    like = torch.empty(1, 6)
    assert not torch.equal(KeyedNoise(base).normal(like, 0), KeyedNoise(base).normal(like, 1))


def test_zero_noise_is_zero_and_drawn_noise_follows_its_generator():
    like = torch.empty(3, 2)
    assert (ZeroNoise(keys(3)).normal(like, 0) == 0).all()
    drawn = [DrawnNoise(torch.Generator().manual_seed(4)).normal(like, 0) for _ in range(2)]
    assert torch.equal(*drawn)
    integers = DrawnNoise(torch.Generator().manual_seed(4)).integers(torch.empty(500), 3, 0)
    assert integers.unique().tolist() == [0, 1, 2]
