from dataclasses import replace

import pytest
import torch
from impression_batches import NUM_OUTCOMES, SIZES, impression_batch, random_items, stirred

from models.batches import ImpressionBatch
from models.diffumin import DiffuMINConfig, build_diffumin, preset
from models.diffumin.caches import FIRST_CAPACITY
from models.diffumin.evidence import explain
from models.diffumin.export import RequestScorer, export_request_scorer
from models.diffumin.fast_interests import kth_largest
from models.diffumin.serving import ITEMS_AT_ONCE, Scorer

STUDENT = 7
LONG_TERM = ("none", "mean", "mean_match", "din", "sim_soft", "sim_hard", "eta", "sdim", "twin")
CHANGES = [
    {"augmentation": "distilled"},
    {"inference_noise": "keyed", "start_level": 200},
    {"augmentation": "vae", "inference_noise": "keyed"},
    {"percentile": "routed", "augmentation": "none"},
    {"pooling": "softmax", "is_empty_learned": True, "augmentation": "none"},
    {"short_term_history": "joint", "short_term_condition": "last_channel", "augmentation": "none"},
    {"kept_count": 3, "pooling": "mean", "augmentation": "none"},
    *({"long_term": kind} for kind in LONG_TERM),
]


def world(length, number, seed=0):
    """Return behaviors, outcomes, items and context of a request."""
    random = torch.Generator().manual_seed(seed)
    return (
        random_items(length, random),
        torch.randint(0, NUM_OUTCOMES, (length,), generator=random),
        random_items(number, random),
        torch.randn(number, 2, generator=random),
    )


def network(**changes):
    torch.manual_seed(1)
    return stirred(build_diffumin(DiffuMINConfig(**(SIZES | changes)))).eval()


def cached(scorer, length, number):
    """Return the caches and context of a request, and the same as a batch."""
    behaviors, outcomes, items, context = world(length, number)
    store = scorer.cache_behaviors(STUDENT)
    store.append(behaviors, outcomes)
    batch = ImpressionBatch(
        target_items=items,
        clicked=torch.zeros(number),
        context=context,
        requests=torch.zeros(number, dtype=torch.int64),
        students=torch.tensor([STUDENT]),
        behavior_items=behaviors,
        behavior_outcomes=outcomes,
        behavior_offsets=torch.tensor([0, length]),
    )
    return (store, scorer.cache_items(items), context), batch


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize("length", [0, 2, 90])
def test_scores_from_caches_are_those_of_the_network(changes, length):
    model = network(**changes)
    given, batch = cached(Scorer(model), length, 21)
    found = Scorer(model).score(*given)
    with torch.no_grad():
        torch.testing.assert_close(found.logits, model(batch), rtol=0, atol=1e-5)
        torch.testing.assert_close(found.probabilities, model.probabilities(batch), rtol=0, atol=1e-5)
    assert found.logits.std() > 0.03


@pytest.mark.parametrize("changes", [CHANGES[0], CHANGES[1], {"long_term": "twin"}])
@pytest.mark.parametrize("length", [1, 500])
def test_a_score_has_the_same_bits_in_any_company(changes, length):
    scorer = Scorer(network(**changes))
    (store, items, context), _ = cached(scorer, length, 150)
    every = scorer.score(store, items, context)
    assert torch.equal(scorer.score(store, items, context).logits, every.logits)
    for index in ([0], [149], [3, 140, 77], [*range(149, -1, -1)], [*range(40, 75)], [*range(1, 18)]):
        chosen = torch.tensor(index)
        found = scorer.score(store, items.rows(chosen), context[chosen])
        assert torch.equal(found.logits, every.logits[chosen])
        assert torch.equal(found.probabilities, every.probabilities[chosen])


def test_a_store_that_grows_is_one_filled_at_once():
    scorer = Scorer(network())
    behaviors, outcomes, items, context = world(3 * FIRST_CAPACITY, 5)
    whole, grown = scorer.cache_behaviors(STUDENT), scorer.cache_behaviors(STUDENT)
    whole.append(behaviors, outcomes)
    for start in range(0, len(behaviors), 50):
        grown.append(behaviors[start : start + 50], outcomes[start : start + 50])
    for name in ("vectors", "items", "outcomes"):
        assert torch.equal(getattr(grown, name), getattr(whole, name))
    cache = scorer.cache_items(items)
    assert torch.equal(scorer.score(grown, cache, context).logits, scorer.score(whole, cache, context).logits)


def test_a_refused_append_leaves_the_store_as_it_was():
    store = Scorer(network()).cache_behaviors(STUDENT)
    behaviors, outcomes, *_ = world(4, 1)
    store.append(behaviors, outcomes)
    with pytest.raises(ValueError, match="field 0"):
        store.append(behaviors + 100, outcomes)
    with pytest.raises(ValueError, match=r"\(number, num_fields\)"):
        store.append(behaviors, outcomes[:2])
    assert len(store) == 4
    assert torch.equal(store.items, behaviors)


def test_what_was_cached_with_other_weights_is_refused():
    model = network()
    given, _ = cached(Scorer(model), 5, 3)
    with torch.no_grad():
        model.embedding.table.weight[3] += 1
    later = Scorer(model)
    with pytest.raises(ValueError, match="behaviors were cached with other weights"):
        later.score(*given)
    fresh, _ = cached(later, 5, 3)
    with pytest.raises(ValueError, match="items were cached with other weights"):
        later.score(fresh[0], given[1], given[2])


def test_requests_that_cannot_be_scored_are_refused_or_empty():
    scorer = Scorer(network())
    (store, items, context), _ = cached(scorer, 5, 3)
    with pytest.raises(ValueError, match=r"context must have shape \(3, 2\)"):
        scorer.score(store, items, context[:2])
    nothing = torch.arange(0)
    assert scorer.score(store, items.rows(nothing), context[nothing]).probabilities.shape == (0,)
    with pytest.raises(ValueError, match="'zero' or 'keyed'"):
        Scorer(network(inference_noise="drawn"))


def test_sampled_thresholds_score_nearly_alike():
    model = network(augmentation="distilled")
    exact = Scorer(model)
    given, _ = cached(exact, 2000, 30)
    difference = Scorer(model, selection="sampled").score(*given).logits - exact.score(*given).logits
    assert 0 < difference.abs().max() < 0.2 * exact.score(*given).logits.std()


def test_largest_values_are_found_without_sorting_all():
    values = torch.randn(7, 103, generator=torch.Generator().manual_seed(0))
    before = values.clone()
    ordered = values.sort(dim=1, descending=True).values
    for number in (1, 2, 50, 103):
        assert torch.equal(kth_largest(values, number), ordered[:, number - 1])
    assert torch.equal(values, before)


def test_probabilities_are_corrected_for_the_negatives_left_out():
    scorer = Scorer(network(negative_sample_rate=0.1))
    given, _ = cached(scorer, 5, 3)
    found = scorer.score(*given)
    odds = found.logits.exp() * 0.1
    torch.testing.assert_close(found.probabilities, odds / (1 + odds))


def test_evidence_adds_up_to_the_interests():
    scorer = Scorer(network(augmentation="distilled"))
    (store, items, context), _ = cached(scorer, 60, ITEMS_AT_ONCE)
    for place in (0, 5):
        one = torch.tensor([place])
        found = explain(scorer, store, items.rows(one), context[one])
        values = torch.zeros(3, 16).index_put(
            (found.channels,), found.weights.unsqueeze(1) * store.vectors[found.behaviors], accumulate=True
        )
        summary = scorer.summaries(store, items.rows(one))[0, :48].view(3, 16)
        torch.testing.assert_close(values, summary, rtol=0, atol=1e-5)
        assert (found.weights.abs().diff() <= 0).all()
        assert len(found.behaviors.unique()) == len(found.behaviors)
        torch.testing.assert_close(found.channel_shares.sum(), torch.tensor(1.0))


def test_effect_of_a_channel_is_what_the_score_loses_without_its_behaviors():
    scorer = Scorer(network(augmentation="distilled"))
    (store, items, context), _ = cached(scorer, 60, 4)
    found = explain(scorer, store, items.rows(torch.tensor([2])), context[2:3])
    # Without the behaviors that a channel kept, summed up anew, that channel is empty.
    summaries = scorer.summaries(store, items)
    short = scorer.short_term(store, items, summaries)
    for channel in range(3):
        without = summaries.clone()
        without[2, 16 * channel : 16 * (channel + 1)] = 0
        without[2, 96 + channel] = 0
        pair = [scorer.logits(STUDENT, items, given, short, context)[2] for given in (summaries, without)]
        torch.testing.assert_close(found.channel_effects[channel], pair[0] - pair[1], rtol=0, atol=1e-5)
    without = summaries.clone()
    without[2, 99:] = 0
    pair = [scorer.logits(STUDENT, items, given, short, context)[2] for given in (summaries, without)]
    assert found.overall_effect == pytest.approx((pair[0] - pair[1]).item(), abs=1e-5)
    assert found.overall_effect


def test_last_interest_is_the_mean_of_all_behaviors_and_older_networks_have_none():
    scorer = Scorer(network())
    (store, items, context), _ = cached(scorer, 60, 4)
    summaries = scorer.summaries(store, items)
    torch.testing.assert_close(summaries[:, 99:], store.vectors.mean(0).expand(4, -1), rtol=0, atol=1e-6)
    older = Scorer(network(has_overall=False))
    (store, items, context), _ = cached(older, 60, 4)
    assert older.summaries(store, items).shape == (4, 99)
    assert explain(older, store, items.rows(torch.tensor([2])), context[2:3]).overall_effect == 0


def test_evidence_of_a_student_without_behaviors_is_empty():
    scorer = Scorer(network(augmentation="distilled"))
    (store, items, context), _ = cached(scorer, 0, 1)
    found = explain(scorer, store, items, context)
    assert len(found.behaviors) == len(found.weights) == 0
    assert (found.channel_effects == 0).all()
    assert (found.channel_shares == 0).all()


def test_evidence_needs_channels_and_one_item():
    scorer = Scorer(network(long_term="din"))
    (store, items, context), _ = cached(scorer, 3, 1)
    with pytest.raises(ValueError, match="only DiffuMIN has channels"):
        explain(scorer, store, items, context)
    scorer = Scorer(network())
    (store, items, context), _ = cached(scorer, 3, 2)
    with pytest.raises(ValueError, match="one item"):
        explain(scorer, store, items, context)


@pytest.fixture(scope="module", params=["distilled", "diffusion"])
def exported(request):
    """Return a network and its graph; tracing takes seconds, so it is done once."""
    small = {"num_denoiser_layers": 1, "num_short_term_layers": 1, "num_sampling_steps": 2}
    model = network(augmentation=request.param, inference_noise="keyed", start_level=100, **small)
    return model, export_request_scorer(model)


@pytest.mark.parametrize(("length", "number"), [(0, 2), (1, 3), (4, 1), (5, 2), (37, 5), (700, 60)])
def test_exported_graph_says_what_the_network_says(exported, length, number):
    model, graph = exported
    _, batch = cached(Scorer(model), length, number)
    given = (batch.target_items, batch.context, batch.behavior_items, batch.behavior_outcomes, batch.students)
    with torch.no_grad():
        torch.testing.assert_close(graph.module()(*given), model(batch), rtol=0, atol=1e-5)


def test_exported_graph_calls_no_lapack(exported):
    called = [str(node.target) for node in exported[1].graph.nodes if node.op == "call_function"]
    assert "aten.sort.default" in called  # thresholds; the names below would look alike
    lapack = ("qr", "svd", "eigh", "inv", "solve", "cholesky", "householder")
    assert not [name for name in called if any(f"_{part}" in name or f".{part}" in name for part in lapack)]


# The exporter meets its own deprecated names.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnx_graph_says_what_the_network_says(exported, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    model, graph = exported
    path = tmp_path / "scorer.onnx"
    torch.onnx.export(graph, f=path, dynamo=True)
    session = runtime.InferenceSession(path)
    _, batch = cached(Scorer(model), 50, 6)
    given = (batch.target_items, batch.context, batch.behavior_items, batch.behavior_outcomes, batch.students)
    names = [part.name for part in session.get_inputs()]
    found = session.run(None, dict(zip(names, (part.numpy() for part in given), strict=True)))[0]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), model(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"long_term": "din"}, "only DiffuMIN"),
        ({"orthonormalization": "polar"}, "'polar'"),
        ({"inference_noise": "drawn"}, "'drawn'"),
    ],
)
def test_what_cannot_be_exported_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        RequestScorer(network(**changes))


def test_the_papers_sampler_cannot_be_served_and_says_so():
    model = build_diffumin(preset("paper", SIZES["num_field_values"], mlp_sizes=(8,)))
    with pytest.raises(ValueError, match="differ from call to call"):
        Scorer(model)


def test_a_batch_of_many_requests_scores_as_each_alone_is_served():
    model = network(augmentation="distilled")
    scorer, batch = Scorer(model), impression_batch()
    with torch.no_grad():
        logits = model(batch)
    for request in range(5):
        index = (batch.requests == request).nonzero().squeeze(1)
        one = batch.rows(index)
        store = scorer.cache_behaviors(int(one.students[0]))
        store.append(one.behavior_items, one.behavior_outcomes)
        found = scorer.score(store, scorer.cache_items(one.target_items), one.context).logits
        torch.testing.assert_close(found, logits[index], rtol=0, atol=1e-5)


def test_clicks_are_not_read_by_a_score():
    model, batch = network(), impression_batch()
    with torch.no_grad():
        assert torch.equal(model(replace(batch, clicked=1 - batch.clicked)), model(batch))
