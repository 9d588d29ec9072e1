"""Items left out are those of the rules, each counted once; what a student has learnt orders the rest."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from edpipe.errors import SettingsError
from edpipe.mastery.kc_learning import KCLearning
from edpipe.prediction.candidates import CandidateRules, Candidates, left_out_words
from edpipe.prediction.histories import PublishedHistories
from edpipe.prediction.learning import PublishedLearning
from edpipe.prediction.recommend import best_places, ranked

DAY = 86_400_000
# Items q1 to q6: early; later; later by its date, but done before it; undated; early; without KC.
PUBLISHED = """
    create schema core; create schema features;
    create table core.catalog as select * from (values
        (11, 'ednet', 'answers', 'q1', ['a'], 1), (12, 'ednet', 'answers', 'q2', ['a', 'b'], 1),
        (13, 'ednet', 'answers', 'q3', ['b'], 1), (14, 'ednet', 'answers', 'q4', ['b'], 2),
        (15, 'ednet', 'answers', 'q5', ['a', 'c'], 2), (16, 'ednet', 'answers', 'q6', []::varchar[], 2),
        (17, 'ednet', 'visits', 'b1', ['a', 'b'], 1), (18, 'ednet', 'visits', 'l1', ['a'], 1),
        (19, 'ednet', 'visits', 'b2', ['b'], 1), (20, 'ednet', 'visits', 'e1', ['b'], 1),
        (21, 'clicks', 'clicks', 'm1', ['drama'], null)
    ) as t(catalog_key, source, log_name, item_id, category_ids, part);
    create table core.outcomes as
        select 'ednet' as source, 'answers' as log_name, 1 as outcome_key, 'correct' as outcome;
    create table core.items as
        select 'ednet' as source, * exclude (day), to_timestamp(86400 * day) as deployed_at
        from (values ('q1', 'b1', 'e1', 10), ('q2', 'b1', 'e1', 50), ('q3', 'b2', null, 50),
        ('q4', 'b2', null, null), ('q5', null, null, 10), ('q6', null, null, 10))
        as t(item_id, bundle_id, explanation_id, day);
    create table core.lectures as
        select 'ednet' as source, 'l1' as lecture_id, to_timestamp(86400 * 30) as deployed_at;
    create table core.behaviors as
        select 'ednet' as source, 'answers' as log_name, catalog_key, to_timestamp(86400 * day) as acted_at
        from (values (11, 20), (13, 15), (13, 60), (12, 55)) as t(catalog_key, day);
    create table core.students as select * from (values
        (1, 'ednet', 'u1', 'train'), (2, 'ednet', 'u2', 'test'), (3, 'ednet', 'u3', 'train'))
        as t(student_key, source, student_id, split);
    create table features.behavior_sequences as
        select 'ednet' as source, 'answers' as log_name, * from (values
        (1, [11, 13], [1, 0], [1_728_000_000, 1_728_000_000], []::int[]),
        (2, [11], [1], [0], []::int[]), (3, [11], [1], [4_752_000_000], [13]))
        as t(student_key, catalog_keys, outcome_keys, acted_milliseconds, earlier_catalog_keys);
    create table core.kcs as select * from (values (1, 'ednet', 'a'), (2, 'ednet', 'b'), (3, 'ednet', 'c'))
        as t(kc_key, source, kc_id);
    create table core.opportunities as select 'ednet' as source, * from (values
        (1, 1, 1, true), (1, 1, 2, true), (1, 1, 3, true), (1, 2, 1, false), (2, 1, 1, true), (3, 2, 1, true),
        (3, 2, 2, false)) as t(student_key, kc_key, opportunity, is_correct)
        order by hash(student_key, opportunity);
"""


@pytest.fixture
def published(settings):
    settings.home.mkdir(parents=True)
    with duckdb.connect(str(settings.published_path)) as connection:
        connection.execute(PUBLISHED)
    return settings


def candidates(settings, student: str = "u1", *, now: int | None = None, **asked: object) -> Candidates:
    asked = {"is_new_only": False, "is_deployed_only": False, **asked}
    histories = PublishedHistories(settings, "ednet", "answers")
    rules = CandidateRules(
        settings.diffumin.model_copy(update=asked),
        histories,
        PublishedLearning(settings, "ednet"),
        np.array([5, 0, 1, 2, 3, 4]),  # as the recommender orders them
    )
    return rules.of(histories.of(student), now=now)


def test_without_rules_nothing_is_left_out_and_nothing_asked(published):
    with duckdb.connect(str(published.published_path)) as connection:
        connection.execute("drop table core.opportunities; drop table core.items")
    found = candidates(published)
    assert found.rows.tolist() == [5, 0, 1, 2, 3, 4]
    assert (found.gains, dict(found.left_out), found.num_undated) == (None, {}, 0)


def test_an_item_is_there_from_its_date_or_from_when_anybody_did_it(published):
    histories = PublishedHistories(published, "ednet", "answers")
    assert (histories.in_use_since / DAY).tolist() == [10, 50, 15, -1 / DAY, 10, 10]
    # q1 and q2 make b1 and e1: there when both are; b2 has an undated item.
    visits = PublishedHistories(published, "ednet", "visits")
    assert (visits.in_use_since[:2] / DAY).tolist() == [50, 30]
    assert visits.in_use_since[2] == -1
    assert PublishedHistories(published, "clicks", "clicks").in_use_since.tolist() == [-1]


def test_items_not_deployed_by_the_students_last_behavior_are_left_out(published):
    found = candidates(published, is_deployed_only=True)  # day 20
    assert found.rows.tolist() == [5, 0, 2, 3, 4]
    assert dict(found.left_out) == {"not deployed yet": 1}
    assert found.num_undated == 1
    assert candidates(published, "u3", is_deployed_only=True).rows.tolist() == [5, 0, 1, 2, 3, 4]  # day 55
    assert candidates(published, now=12 * DAY, is_deployed_only=True).rows.tolist() == [5, 0, 3, 4]
    assert candidates(published, now=9 * DAY, is_deployed_only=True).rows.tolist() == [3]


def test_a_student_without_times_loses_no_item_and_all_count_as_not_known(published):
    found = candidates(published, "u2", is_deployed_only=True)
    assert len(found.rows) == found.num_undated == 6
    assert dict(found.left_out) == {"not deployed yet": 0}


def test_mastered_items_are_those_all_of_whose_kcs_are_known(published):
    learning = PublishedLearning(published, "ednet")
    known = dict(zip("abc", learning.known(1), strict=True))
    threshold = (known["a"] + max(known["b"], known["c"])) / 2
    assert known["a"] > threshold  # three right answers
    found = candidates(published, is_unmastered_only=True, mastered_from=threshold)
    assert found.rows.tolist() == [5, 1, 2, 3, 4]  # q1 alone has no other KC; q6 has none at all
    assert dict(found.left_out) == {"mastered": 1}


def test_an_item_counts_at_the_first_rule_that_leaves_it_out(published):
    everything = {"is_new_only": True, "is_deployed_only": True, "is_unmastered_only": True}
    found = candidates(published, **everything, mastered_from=1e-9)
    assert found.rows.tolist() == [5]
    assert dict(found.left_out) == {"met before": 2, "not deployed yet": 1, "mastered": 2}
    words = left_out_words(found.left_out, found.num_undated)
    assert words == "left out: 2 met before, 1 not deployed yet, 2 mastered"
    assert left_out_words({}, 0) == ""
    assert left_out_words({"mastered": 1200}, 3) == "left out: 1,200 mastered; 3 of unknown deployment kept"


def test_the_gain_is_that_of_the_students_own_answers(published):
    found = candidates(published, rank_by="gain")
    learning = PublishedLearning(published, "ednet")
    left = (1 - learning.known(1)) * learning.model.learn
    a, b, c = left
    assert found.gains == pytest.approx([0, a, a + b, b, b, a + c])
    other = candidates(published, "u3", rank_by="gain")
    assert other.gains[1] > found.gains[1]  # never met `a`


def test_students_read_by_the_piece_know_what_they_know_alone(published):
    together = PublishedLearning(published, "ednet", students_a_piece=2)
    for student in (1, 2, 3, 2, 4):
        alone = PublishedLearning(published, "ednet").known(student)
        assert (together.known(student) == alone).all()
    assert (together.known(4) == together.model.parameters[:, 0]).all()


def test_only_training_students_are_learned_from_and_answers_change_the_digest(published):
    before = PublishedLearning(published, "ednet")
    parameters, digest = before.model.parameters, before.digest
    with duckdb.connect(str(published.published_path)) as connection:
        connection.execute("update core.opportunities set is_correct = not is_correct where student_key = 2")
    after = PublishedLearning(published, "ednet")
    assert (after.model.parameters == parameters).all()
    assert after.digest != digest
    assert isinstance(after.model, KCLearning)


def test_a_log_without_kcs_says_what_to_leave_out(published):
    histories = PublishedHistories(published, "clicks", "clicks")
    asked = published.diffumin.model_copy(update={"rank_by": "gain"})
    with pytest.raises(SettingsError, match=r"(?s)what students have learnt.*'clicks'.*--by gain"):
        CandidateRules(asked, histories, PublishedLearning(published, "clicks"), np.array([0]))


def test_only_the_most_probable_are_put_in_order_of_their_gain():
    chances, rows = np.array([0.1, 0.9, 0.8, 0.7, 0.2]), np.arange(5)
    gains = np.array([9.0, 1.0, 3.0, 3.0, 8.0])
    assert best_places(chances, rows, 3, gains=gains, num_reranked=3).tolist() == [2, 3, 1]
    assert best_places(chances, rows, 5, gains=gains, num_reranked=3).tolist() == [2, 3, 1, 4, 0]
    assert best_places(chances, rows, 2, gains=gains, num_reranked=5).tolist() == [0, 4]
    assert best_places(chances, rows, 9, gains=gains, num_reranked=1).tolist() == [1, 2, 3, 4, 0]
    assert best_places(chances, rows, 3).tolist() == ranked(chances, rows, 3).tolist()
