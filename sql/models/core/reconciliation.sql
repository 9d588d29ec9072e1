MODEL (
  name core.reconciliation,
  kind FULL,
  grain (check_name, source, relation),
  description 'The account of a build: every source row, the identities of the published levels, unknown values, duplicates, orphans, empty answers, coverage; of tutor logs: core.tutor_checks, of behaviors: core.behavior_checks.',
  columns (
    check_name TEXT,
    source TEXT,
    relation TEXT,
    observed BIGINT,
    expected BIGINT,
    is_ok BOOLEAN,
    severity TEXT,
    detail TEXT
  ),
  column_descriptions (
    check_name = 'What is checked.',
    source = 'Source of the rows: ednet, assistments, kddcup, datashop, mathia or clicks.',
    relation = 'Raw relation, level or table that is looked at.',
    observed = 'Count that was found.',
    expected = 'Count that was expected; null where the check only tells a number.',
    is_ok = 'True where observed is expected, and for plain information.',
    severity = 'error stops the build, warning is a finding about the data, info is a number to know.',
    detail = 'The rule in words.'
  ),
  audits (
    unique_combination_of_columns(columns := (check_name, source, relation)),
    not_null(columns := (check_name, source, relation, is_ok)),
    accepted_values(column := severity, is_in := ('error', 'warning', 'info')),
    forall(criteria := (is_ok OR severity <> 'error'))
  )
);

WITH stored AS (
SELECT 'ednet' AS source, 'kt1' AS relation, COUNT(*) AS num_rows FROM raw.ednet_kt1
UNION ALL
SELECT 'ednet' AS source, 'kt2' AS relation, COUNT(*) AS num_rows FROM raw.ednet_kt2
UNION ALL
SELECT 'ednet' AS source, 'kt3' AS relation, COUNT(*) AS num_rows FROM raw.ednet_kt3
UNION ALL
SELECT 'ednet' AS source, 'kt4' AS relation, COUNT(*) AS num_rows FROM raw.ednet_kt4
UNION ALL
SELECT 'ednet' AS source, 'questions' AS relation, COUNT(*) AS num_rows FROM raw.ednet_questions
UNION ALL
SELECT 'ednet' AS source, 'lectures' AS relation, COUNT(*) AS num_rows FROM raw.ednet_lectures
UNION ALL
SELECT 'ednet' AS source, 'payments' AS relation, COUNT(*) AS num_rows FROM raw.ednet_payments
UNION ALL
SELECT 'ednet' AS source, 'coupons' AS relation, COUNT(*) AS num_rows FROM raw.ednet_coupons
UNION ALL
SELECT 'assistments' AS source, 'answers' AS relation, COUNT(*) AS num_rows FROM raw.assistments_answers
UNION ALL
SELECT 'kddcup' AS source, 'steps' AS relation, COUNT(*) AS num_rows FROM raw.kddcup_steps
UNION ALL
SELECT 'datashop' AS source, 'steps' AS relation, COUNT(*) AS num_rows FROM raw.datashop_steps
UNION ALL
SELECT 'datashop' AS source, 'transactions' AS relation, COUNT(*) AS num_rows FROM raw.datashop_transactions
UNION ALL
SELECT 'mathia' AS source, 'steps' AS relation, COUNT(*) AS num_rows FROM raw.mathia_steps
UNION ALL
SELECT 'mathia' AS source, 'transactions' AS relation, COUNT(*) AS num_rows FROM raw.mathia_transactions
UNION ALL
SELECT 'clicks' AS source, 'behaviors' AS relation, COUNT(*) AS num_rows FROM raw.clicks_behaviors
UNION ALL
SELECT 'clicks' AS source, 'items' AS relation, COUNT(*) AS num_rows FROM raw.clicks_items
), refused AS (
SELECT source, relation, COUNT(*) AS num_rows FROM raw.rejects GROUP BY source, relation
), presence AS (
SELECT student_id, MAX(level = 'kt1') AS is_in_kt1, MAX(level = 'kt2') AS is_in_kt2, MAX(level = 'kt3') AS is_in_kt3, MAX(level = 'kt4') AS is_in_kt4, MAX(level) AS highest
FROM (SELECT DISTINCT student_id, level FROM staging.ednet_actions UNION ALL SELECT DISTINCT student_id, 'kt1' AS level FROM staging.ednet_answers) AS seen
GROUP BY student_id
), levels AS (
SELECT actions.level, COUNT(*) AS num_rows, SUM(CASE WHEN actions.level < presence.highest THEN 1 ELSE 0 END) AS num_lower
FROM staging.ednet_actions AS actions
INNER JOIN presence ON actions.student_id = presence.student_id
GROUP BY actions.level
), kept AS (
SELECT level, COUNT(*) AS num_rows FROM core.actions GROUP BY level
), repeats AS (
SELECT student_id, answered_milliseconds, bundle_visit, item_id, user_answer, elapsed_milliseconds, COUNT(*) AS num_rows
FROM staging.ednet_answers
GROUP BY student_id, answered_milliseconds, bundle_visit, item_id, user_answer, elapsed_milliseconds
HAVING COUNT(*) > 1
), stepped AS (
SELECT answered_milliseconds, LAG(answered_milliseconds) OVER (PARTITION BY student_id ORDER BY source_row) AS previous_milliseconds FROM staging.ednet_answers
), delivered AS (
SELECT interactions.student_key, interactions.bundle_visit, MIN(interactions.bundle_id) AS bundle_id, MAX(interactions.answered_at) AS answered_at
FROM core.interactions AS interactions
INNER JOIN presence ON interactions.student_id = presence.student_id
WHERE interactions.source = 'ednet' AND presence.is_in_kt4
GROUP BY interactions.student_key, interactions.bundle_visit
), submits AS (
SELECT student_key, bundle_id, acted_at FROM core.actions WHERE action_type = 'submit' AND level = 'kt4'
), visits AS (
SELECT delivered.student_key, delivered.bundle_visit, MAX(submits.acted_at IS NOT NULL) AS is_found
FROM delivered
LEFT JOIN submits ON delivered.student_key = submits.student_key AND delivered.bundle_id = submits.bundle_id
  AND ABS(@seconds_between(submits.acted_at, delivered.answered_at)) <= 120
GROUP BY delivered.student_key, delivered.bundle_visit
), checks AS (
SELECT
  'source_rows_accounted' AS check_name,
  manifests.source AS source,
  manifests.relation AS relation,
  stored.num_rows + COALESCE(refused.num_rows, 0) + manifests.duplicate_rows AS observed,
  manifests.source_rows AS expected,
  'error' AS severity,
  'rows kept, rows refused and duplicates of other deliveries are the rows read from the source' AS detail
FROM raw.manifests AS manifests
INNER JOIN stored ON manifests.source = stored.source AND manifests.relation = stored.relation
LEFT JOIN refused ON manifests.source = refused.source AND manifests.relation = refused.relation
UNION ALL
SELECT
  'rows_refused' AS check_name,
  manifests.source AS source,
  manifests.relation AS relation,
  manifests.rejected_rows AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'rows that could not be used: see core.rejects' AS detail
FROM raw.manifests AS manifests
UNION ALL
SELECT
  'rows_delivered_again' AS check_name,
  source AS source,
  relation AS relation,
  duplicate_rows AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'rows that an earlier delivery held already: kept once' AS detail
FROM raw.manifests
WHERE num_deliveries > 0
UNION ALL
SELECT
  'rows_delivered_late' AS check_name,
  source AS source,
  relation AS relation,
  late_rows AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'rows that came after later ones of their student: sorted in by time' AS detail
FROM raw.manifests
WHERE num_deliveries > 0
UNION ALL
SELECT
  'rows_in_conflict' AS check_name,
  source AS source,
  relation AS relation,
  conflicting_rows AS observed,
  0 AS expected,
  'warning' AS severity,
  'rows of one event with another content: both kept' AS detail
FROM raw.manifests
WHERE num_deliveries > 0
UNION ALL
SELECT
  'interactions_accounted' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  SUM(CASE WHEN interactions.source = 'ednet' THEN 1 ELSE 0 END) AS observed,
  MIN(stored.num_rows) AS expected,
  'error' AS severity,
  'every kept KT1 row is one interaction' AS detail
FROM core.interactions AS interactions
CROSS JOIN stored
WHERE stored.relation = 'kt1'
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'answers_accounted' AS check_name,
  'assistments' AS source,
  'answers' AS relation,
  COUNT(*) AS observed,
  MIN(stored.num_rows) AS expected,
  'error' AS severity,
  'every kept row is in core.answer_rows' AS detail
FROM core.answer_rows AS answers
CROSS JOIN stored
WHERE stored.relation = 'answers'
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'rows_of_several_skills_joined' AS check_name,
  'assistments' AS source,
  'answers' AS relation,
  COUNT(*) - COALESCE(SUM(CASE WHEN is_first_row THEN 1 ELSE 0 END), 0) AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'source rows that repeat a problem once a skill: one interaction' AS detail
FROM core.answer_rows
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'answers_in_interactions' AS check_name,
  'assistments' AS source,
  'answers' AS relation,
  MIN(answers.num_interactions) AS observed,
  SUM(CASE WHEN interactions.source = 'assistments' THEN 1 ELSE 0 END) AS expected,
  'error' AS severity,
  'first rows are interactions' AS detail
FROM core.interactions AS interactions
CROSS JOIN (SELECT COALESCE(SUM(CASE WHEN is_first_row THEN 1 ELSE 0 END), 0) AS num_interactions FROM core.answer_rows) AS answers
HAVING MIN(answers.num_interactions) > 0
UNION ALL
SELECT
  'actions_accounted' AS check_name,
  'ednet' AS source,
  levels.level AS relation,
  levels.num_rows AS observed,
  COALESCE(kept.num_rows, 0) + COALESCE(levels.num_lower, 0) AS expected,
  'error' AS severity,
  'every kept row is an action or repeats a higher level of its student' AS detail
FROM levels
LEFT JOIN kept ON levels.level = kept.level
UNION ALL
SELECT
  'lower_level_rows_left_out' AS check_name,
  'ednet' AS source,
  levels.level AS relation,
  levels.num_lower AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'rows of students who are present on a higher level: not in core.actions' AS detail
FROM levels
UNION ALL
SELECT
  'kt3_restricts_kt4' AS check_name,
  'ednet' AS source,
  'kt3' AS relation,
  SUM(CASE WHEN level = 'kt3' THEN 1 ELSE 0 END) AS observed,
  SUM(CASE WHEN level = 'kt4' AND action_type IN ('enter', 'respond', 'submit', 'quit') THEN 1 ELSE 0 END) AS expected,
  'warning' AS severity,
  'kt3 rows equal kt4 rows of its kinds, over students present on both' AS detail
FROM staging.ednet_actions AS actions
INNER JOIN presence ON actions.student_id = presence.student_id
WHERE presence.is_in_kt3 AND presence.is_in_kt4
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'kt2_restricts_kt3' AS check_name,
  'ednet' AS source,
  'kt2' AS relation,
  SUM(CASE WHEN level = 'kt2' THEN 1 ELSE 0 END) AS observed,
  SUM(CASE WHEN level = 'kt3' AND SUBSTR(item_id, 1, 1) IN ('b', 'q') THEN 1 ELSE 0 END) AS expected,
  'warning' AS severity,
  'kt2 rows equal kt3 rows of its kinds, over students present on both' AS detail
FROM staging.ednet_actions AS actions
INNER JOIN presence ON actions.student_id = presence.student_id
WHERE presence.is_in_kt2 AND presence.is_in_kt3
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'enters_are_submits' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN action_type = 'enter' AND SUBSTR(item_id, 1, 1) = 'b' THEN 1 ELSE 0 END), 0) AS observed,
  COALESCE(SUM(CASE WHEN action_type = 'submit' THEN 1 ELSE 0 END), 0) AS expected,
  'warning' AS severity,
  'a bundle entered is a bundle submitted' AS detail
FROM staging.ednet_actions
GROUP BY level
UNION ALL
SELECT
  'enters_are_quits' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN action_type = 'enter' AND SUBSTR(item_id, 1, 1) IN ('e', 'l') THEN 1 ELSE 0 END), 0) AS observed,
  COALESCE(SUM(CASE WHEN action_type = 'quit' THEN 1 ELSE 0 END), 0) AS expected,
  'warning' AS severity,
  'an explanation or lecture entered is one quit' AS detail
FROM staging.ednet_actions
WHERE level <> 'kt2'
GROUP BY level
UNION ALL
SELECT
  'unknown_action_type' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN NOT action_type IN ('enter', 'respond', 'submit', 'quit', 'play_audio', 'pause_audio', 'play_video', 'pause_video', 'erase_choice', 'undo_erase_choice', 'pay', 'refund', 'enroll_coupon') THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'values of action_type that no published copy has' AS detail
FROM staging.ednet_actions
GROUP BY level
UNION ALL
SELECT
  'unknown_entry_point' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN NOT entry_point IN ('sprint', 'my_note', 'diagnosis', 'adaptive_offer', 'review_quiz', 'review', 'tutor', 'archive') THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'values of entry_point that no published copy has' AS detail
FROM staging.ednet_actions
GROUP BY level
UNION ALL
SELECT
  'unknown_platform' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN NOT platform IN ('mobile', 'web') THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'values of platform that no published copy has' AS detail
FROM staging.ednet_actions
GROUP BY level
UNION ALL
SELECT
  'unknown_user_answer' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN NOT user_answer IN ('a', 'b', 'c', 'd') THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'values of user_answer that no published copy has' AS detail
FROM staging.ednet_actions
GROUP BY level
UNION ALL
SELECT
  'unknown_user_answer' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  COALESCE(SUM(CASE WHEN NOT user_answer IN ('a', 'b', 'c', 'd') THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'answers other than a, b, c, d' AS detail
FROM staging.ednet_answers
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'exact_duplicates' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN is_duplicate THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'rows that repeat an earlier row in every column: marked is_duplicate' AS detail
FROM core.actions
GROUP BY level
UNION ALL
SELECT
  'exact_duplicates' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  COALESCE(SUM(repeats.num_rows - 1), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'rows that repeat an earlier row in every column' AS detail
FROM repeats
UNION ALL
SELECT
  'unknown_items' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  COALESCE(SUM(CASE WHEN NOT items.is_in_contents THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'answers on items that the contents tables do not hold: correctness unknown' AS detail
FROM core.interactions AS interactions
INNER JOIN core.items AS items ON interactions.item_key = items.item_key
WHERE interactions.source = 'ednet'
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'unknown_items' AS check_name,
  'ednet' AS source,
  actions.level AS relation,
  COALESCE(SUM(CASE WHEN (SUBSTR(actions.item_id, 1, 1) IN ('q', 'b', 'e') AND bundles.bundle_id IS NULL) OR (SUBSTR(actions.item_id, 1, 1) = 'l' AND lectures.lecture_id IS NULL) THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'actions on questions, bundles, explanations or lectures that the contents tables do not hold' AS detail
FROM core.actions AS actions
LEFT JOIN core.bundles AS bundles ON bundles.source = 'ednet' AND actions.bundle_id = bundles.bundle_id
LEFT JOIN core.lectures AS lectures ON lectures.source = 'ednet' AND actions.item_id = lectures.lecture_id
GROUP BY actions.level
UNION ALL
SELECT
  'items_without_kc' AS check_name,
  source AS source,
  'items' AS relation,
  COALESCE(SUM(CASE WHEN num_kcs = 0 THEN 1 ELSE 0 END), 0) AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'items without a knowledge component' AS detail
FROM core.items
GROUP BY source
UNION ALL
SELECT
  'unanswered' AS check_name,
  source AS source,
  'interactions' AS relation,
  COALESCE(SUM(CASE WHEN NOT is_answered THEN 1 ELSE 0 END), 0) AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'submitted without a choice, or a blank first attempt: kept apart from wrong' AS detail
FROM core.interactions
GROUP BY source
UNION ALL
SELECT
  'repeated_attempts' AS check_name,
  source AS source,
  'interactions' AS relation,
  COALESCE(SUM(CASE WHEN NOT is_first_attempt THEN 1 ELSE 0 END), 0) AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'interactions on an item met before: choose is_first_attempt, is_last_attempt or all' AS detail
FROM core.interactions
GROUP BY source
UNION ALL
SELECT
  'times_going_back' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  COALESCE(SUM(CASE WHEN answered_milliseconds < previous_milliseconds THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'rows earlier than the row before them in their file' AS detail
FROM stepped
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'students_in_several_splits' AS check_name,
  source AS source,
  'answers' AS relation,
  COALESCE(SUM(CASE WHEN num_splits > 1 THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'students whom files put in several parts of the split: the first by name is taken' AS detail
FROM (SELECT source, student_id, COUNT(DISTINCT split) AS num_splits FROM core.answer_rows GROUP BY source, student_id) AS splits
GROUP BY source
UNION ALL
SELECT
  'outside_context' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN violation = 'outside_context' THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'actions with no context open' AS detail
FROM core.actions
GROUP BY level
UNION ALL
SELECT
  'wrong_context' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN violation = 'wrong_context' THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'actions that do not fit the open context' AS detail
FROM core.actions
GROUP BY level
UNION ALL
SELECT
  'contexts_not_closed' AS check_name,
  'ednet' AS source,
  level AS relation,
  COALESCE(SUM(CASE WHEN NOT is_closed THEN 1 ELSE 0 END), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'contexts without a submit or quit of their own' AS detail
FROM core.contexts
GROUP BY level
UNION ALL
SELECT
  'students_on_kt1_and_kt4' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  COUNT(*) AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'students present on both levels' AS detail
FROM presence
WHERE is_in_kt1 AND is_in_kt4
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'kt1_visits_found_in_kt4' AS check_name,
  'ednet' AS source,
  'kt1' AS relation,
  COALESCE(SUM(CASE WHEN is_found THEN 1 ELSE 0 END), 0) AS observed,
  COUNT(*) AS expected,
  'info' AS severity,
  'bundle visits of students on both levels with a KT4 submit of the bundle within two minutes: KT1 cannot be rebuilt from KT4' AS detail
FROM visits
HAVING COUNT(*) > 0
UNION ALL
SELECT
  check_name,
  source,
  relation,
  observed,
  expected,
  severity,
  detail
FROM core.tutor_checks
UNION ALL
SELECT
  check_name,
  source,
  relation,
  observed,
  expected,
  severity,
  detail
FROM core.behavior_checks
)
SELECT
  check_name,
  source,
  relation,
  observed,
  expected,
  COALESCE(severity = 'info' OR observed = expected, FALSE) AS is_ok,
  severity,
  detail
FROM checks
