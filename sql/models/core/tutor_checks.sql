MODEL (
  name core.tutor_checks,
  kind FULL,
  grain (check_name, source, relation),
  description 'The account of tutor logs, as rows of core.reconciliation: every source row, what was merged or left out and by which rule, and what is odd.',
  columns (
    check_name TEXT,
    source TEXT,
    relation TEXT,
    observed BIGINT,
    expected BIGINT,
    severity TEXT,
    detail TEXT
  ),
  column_descriptions (
    check_name = 'What is checked.',
    source = 'Source of the rows: kddcup, datashop or mathia.',
    relation = 'steps, transactions, attempts or items.',
    observed = 'Count that was found.',
    expected = 'Count that was expected; null where the check only tells a number.',
    severity = 'error stops the build, warning is a finding about the data, info is a number to know.',
    detail = 'The rule in words.'
  ),
  audits (
    unique_combination_of_columns(columns := (check_name, source, relation)),
    not_null(columns := (check_name, source, relation, severity, detail))
  )
);

WITH rows_read AS (
  SELECT source, COUNT(*) AS num_rows, SUM(CASE WHEN item_id IS NULL THEN 1 ELSE 0 END) AS num_without_step
  FROM staging.tutor_steps
  GROUP BY source
), acted AS (
  SELECT
    transactions.source,
    COUNT(*) AS num_rows,
    SUM(CASE WHEN datasets.relation = 'steps' THEN 1 ELSE 0 END) AS num_excluded,
    SUM(CASE WHEN datasets.relation <> 'steps' AND NOT transactions.untutored_rule IS NULL THEN 1 ELSE 0 END) AS num_untutored,
    SUM(CASE WHEN datasets.relation <> 'steps' AND transactions.untutored_rule = 'autofilled' THEN 1 ELSE 0 END) AS num_autofilled,
    SUM(CASE WHEN datasets.relation <> 'steps' AND transactions.untutored_rule = 'no_step' THEN 1 ELSE 0 END) AS num_no_step,
    SUM(CASE WHEN datasets.relation <> 'steps' AND transactions.untutored_rule = 'no_outcome' THEN 1 ELSE 0 END) AS num_no_outcome,
    SUM(CASE WHEN datasets.relation <> 'steps' AND transactions.untutored_rule = 'unknown_outcome' THEN 1 ELSE 0 END) AS num_unknown_outcome
  FROM staging.tutor_transactions AS transactions
  INNER JOIN core.tutor_datasets AS datasets
    ON transactions.source = datasets.source AND transactions.dataset = datasets.dataset
  GROUP BY transactions.source
), kept AS (
  SELECT
    source,
    relation,
    SUM(num_source_rows) AS num_source_rows,
    SUM(num_rows - 1) AS num_merged,
    SUM(CASE WHEN num_kcs = 0 THEN 1 ELSE 0 END) AS num_untagged,
    SUM(CASE WHEN num_kcs > 1 THEN 1 ELSE 0 END) AS num_multiple,
    SUM(CASE WHEN @num_entries(kc_keys) > num_kcs THEN 1 ELSE 0 END) AS num_bookkeeping,
    SUM(CASE WHEN first_attempt IS NULL THEN 1 ELSE 0 END) AS num_blank,
    SUM(CASE WHEN started_at IS NULL THEN 1 ELSE 0 END) AS num_untimed,
    SUM(CASE WHEN is_reentry THEN 1 ELSE 0 END) AS num_reentries,
    SUM(CASE WHEN is_opportunity_mismatch THEN 1 ELSE 0 END) AS num_mismatched
  FROM core.steps
  GROUP BY source, relation
), attempts AS (
  SELECT
    source,
    SUM(CASE WHEN problem_view > 1 THEN 1 ELSE 0 END) AS num_later_views,
    SUM(CASE WHEN num_tagged_steps = 0 THEN 1 ELSE 0 END) AS num_without_strategy
  FROM core.problem_attempts
  GROUP BY source
), disagreeing AS (
  SELECT source, relation, SUM(CASE WHEN first_told <> last_told THEN 1 ELSE 0 END) AS num_disagreeing
  FROM (
    SELECT source, relation, MIN(first_attempt) AS first_told, MAX(first_attempt) AS last_told
    FROM core.step_rows
    WHERE num_rows > 1
    GROUP BY source, relation, student_key, item_key, problem_view
  ) AS repeated
  GROUP BY source, relation
)
SELECT
  'steps_accounted' AS check_name,
  rows_read.source AS source,
  'steps' AS relation,
  COALESCE(kept.num_source_rows, 0) + rows_read.num_without_step AS observed,
  rows_read.num_rows AS expected,
  'error' AS severity,
  'every step row is a step, merged into one, or without a step name' AS detail
FROM rows_read
LEFT JOIN kept ON rows_read.source = kept.source AND kept.relation = 'steps'
UNION ALL
SELECT
  'transactions_accounted' AS check_name,
  acted.source AS source,
  'transactions' AS relation,
  COALESCE(kept.num_source_rows, 0) + acted.num_untutored + acted.num_excluded AS observed,
  acted.num_rows AS expected,
  'error' AS severity,
  'every transaction is an attempt at a step, untutored, or of a data set with step rows' AS detail
FROM acted
LEFT JOIN kept ON acted.source = kept.source AND kept.relation = 'transactions'
UNION ALL
SELECT
  'transactions_left_out' AS check_name,
  source AS source,
  'transactions' AS relation,
  num_excluded AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'transactions of data sets that have step rows: the step rows are read' AS detail
FROM acted
UNION ALL
SELECT
  'untutored_autofilled' AS check_name,
  source AS source,
  'transactions' AS relation,
  num_autofilled AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'transactions filled in by the tutor, not by the student' AS detail
FROM acted
UNION ALL
SELECT
  'untutored_no_step' AS check_name,
  source AS source,
  'transactions' AS relation,
  num_no_step AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'transactions without a step: page views, Done clicks' AS detail
FROM acted
UNION ALL
SELECT
  'untutored_no_outcome' AS check_name,
  source AS source,
  'transactions' AS relation,
  num_no_outcome AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'transactions without an outcome: saves, worked examples (STUDY)' AS detail
FROM acted
UNION ALL
SELECT
  'unknown_outcome' AS check_name,
  source AS source,
  'transactions' AS relation,
  num_unknown_outcome AS observed,
  0 AS expected,
  'warning' AS severity,
  'transactions whose outcome no published format has: no attempt' AS detail
FROM acted
UNION ALL
SELECT
  'step_rows_without_step' AS check_name,
  source AS source,
  'steps' AS relation,
  num_without_step AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'step rows that name no step: not kept' AS detail
FROM rows_read
UNION ALL
SELECT
  'merged_rows' AS check_name,
  source AS source,
  relation AS relation,
  num_merged AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'rows of a student, problem, view and step that another row stands for' AS detail
FROM kept
UNION ALL
SELECT
  'steps_without_kc' AS check_name,
  source AS source,
  relation AS relation,
  num_untagged AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'steps without a knowledge component, or with bookkeeping only: kept for order, not in strategies' AS detail
FROM kept
UNION ALL
SELECT
  'steps_with_several_kcs' AS check_name,
  source AS source,
  relation AS relation,
  num_multiple AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'steps with several knowledge components: in rising order in the strategy' AS detail
FROM kept
UNION ALL
SELECT
  'steps_with_bookkeeping' AS check_name,
  source AS source,
  relation AS relation,
  num_bookkeeping AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'steps with a tag that the setting warehouse.ignored_kcs names' AS detail
FROM kept
UNION ALL
SELECT
  'steps_without_first_attempt' AS check_name,
  source AS source,
  relation AS relation,
  num_blank AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'steps whose first attempt is blank: interactions of unknown correctness' AS detail
FROM kept
UNION ALL
SELECT
  'steps_without_time' AS check_name,
  source AS source,
  relation AS relation,
  num_untimed AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'steps without a time: ordered by Row and file order, behind those with one' AS detail
FROM kept
UNION ALL
SELECT
  're_entries' AS check_name,
  source AS source,
  relation AS relation,
  num_reentries AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'returns to a problem attempt after a step of another' AS detail
FROM kept
UNION ALL
SELECT
  'later_views' AS check_name,
  source AS source,
  'attempts' AS relation,
  num_later_views AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'problem attempts with a view above 1: attempts of their own' AS detail
FROM attempts
UNION ALL
SELECT
  'attempts_without_strategy' AS check_name,
  source AS source,
  'attempts' AS relation,
  num_without_strategy AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'problem attempts without any knowledge component: not in features.strategies' AS detail
FROM attempts
UNION ALL
SELECT
  'opportunities_of_other_length' AS check_name,
  source AS source,
  relation AS relation,
  num_mismatched AS observed,
  0 AS expected,
  'warning' AS severity,
  'steps whose cells of KCs and of opportunities have different lengths' AS detail
FROM kept
UNION ALL
SELECT
  'merged_rows_disagree' AS check_name,
  source AS source,
  relation AS relation,
  num_disagreeing AS observed,
  0 AS expected,
  'warning' AS severity,
  'steps whose rows tell different first attempts: the first in time is taken' AS detail
FROM disagreeing
UNION ALL
SELECT
  'ambiguous_ids' AS check_name,
  source AS source,
  'items' AS relation,
  SUM(CASE WHEN is_ambiguous THEN 1 ELSE 0 END) AS observed,
  0 AS expected,
  'warning' AS severity,
  'steps of two problems or sections whose names with a slash give one id' AS detail
FROM core.problem_steps
GROUP BY source
