import pytest
from impression_batches import FIELDS

from models.diffumin import DiffuMINConfig, config_from_dict, preset


@pytest.mark.parametrize("name", ["default", "paper", "released"])
def test_a_preset_round_trips_through_plain_values(name):
    config = preset(name, FIELDS, num_context=3)
    values = config.to_dict()
    assert config_from_dict(values) == config
    values["num_field_values"] = list(values["num_field_values"])  # as files without tuples hold it
    assert config_from_dict(values) == config


def test_presets_differ_where_the_sources_do():
    default, paper, released = (preset(name, FIELDS) for name in ("default", "paper", "released"))
    assert (default.start_rule, paper.start_rule, released.start_rule) == ("at_last", "uniform", "uniform")
    assert (default.pooling, paper.pooling, released.pooling) == ("sim", "mean", "released")
    assert (paper.variance, released.variance) == ("forward", "posterior")
    assert (paper.kept_count, released.kept_count) == (0, 100)
    assert (released.parameterization, released.sampling_parameterization) == ("clean", "noise")
    assert (paper.diffusion_weight, paper.contrastive_weight) == (0.01, 0.001)
    assert (released.diffusion_weight, released.contrastive_weight) == (0, 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_field_values": ()}, "num_field_values"),
        ({"num_field_values": (5, 1)}, "num_field_values"),
        ({"num_channels": 25}, "num_channels must be at most the width of an item, 24"),
        ({"num_channels": 0}, "num_channels"),
        ({"pooling": "sum"}, "pooling must be one of mean, sim"),
        ({"orthonormalization": "svd"}, "qr, cgs2, polar"),
        ({"channels_from": "user"}, "target, random, table"),
        ({"augmentation": "gan"}, "augmentation"),
        ({"long_term": "lstm"}, "long_term"),
        ({"parameterization": "x0"}, "noise, clean, velocity"),
        ({"kept_share": 0.0}, "kept_share"),
        ({"kept_share": 1.1}, "kept_share"),
        ({"negative_sample_rate": 0}, "negative_sample_rate"),
        ({"temperature": 0}, "temperature"),
        ({"dropout": 1.0}, "dropout"),
        ({"start_level": 3}, "start_level"),
        ({"num_sampling_steps": 11}, "start_level"),
        ({"num_diffusion_steps": 9}, "start_level"),
        ({"sampler": "ancestral"}, "inference_noise"),
        ({"num_denoiser_heads": 5}, "num_denoiser_heads must divide"),
        ({"num_short_term_heads": 5}, "num_short_term_heads must divide"),
        ({"long_term": "sim_hard", "category_field": 3}, "category_field"),
        ({"hash_group_bits": 5}, "hash_group_bits must divide"),
        ({"short_term_condition": "last_channel"}, "short_term_history 'joint'"),
        ({"has_interests": False, "augmentation": "none"}, "has_interests"),
        ({"mlp_sizes": ()}, "mlp_sizes"),
        ({"diffusion_weight": -1}, "diffusion_weight"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(change, told):
    with pytest.raises(ValueError, match=told):
        DiffuMINConfig(**({"num_field_values": FIELDS} | change))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="preset must be one of default, paper, released"):
        preset("best", FIELDS)
    with pytest.raises(ValueError, match="has no num_chanels"):
        config_from_dict({"kind": "diffumin", "num_field_values": FIELDS, "num_chanels": 4})


def test_items_are_as_wide_as_their_fields_and_the_outcome():
    assert DiffuMINConfig(FIELDS).item_size == 24
    assert DiffuMINConfig(FIELDS, num_outcomes=2).item_size == 32
