MODEL (
  name features.strategies,
  kind FULL,
  grain (attempt_key),
  description 'The strategy of each problem attempt: the KCs of its steps in order, those of one step in rising order, bookkeeping and steps without KC left out. Attempts without any KC are absent.',
  columns (
    attempt_key BIGINT,
    source TEXT,
    student_key INT,
    section_key INT,
    problem_key INT,
    kc_keys INT[],
    kc_ids TEXT[],
    step_sizes INT[],
    num_kcs BIGINT,
    strategy_id TEXT
  ),
  column_descriptions (
    attempt_key = 'The problem attempt: student_key times 1,000,000 plus the interaction_number of its first step.',
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    section_key = 'Dense number of the section, from 1.',
    problem_key = 'Dense number of the problem, from 1.',
    kc_keys = 'Knowledge components in order, side by side.',
    kc_ids = 'Their names.',
    step_sizes = 'KCs of each step that has any, in order; they add up to num_kcs.',
    num_kcs = 'Length of the strategy.',
    strategy_id = 'md5 of the names in order, one a line: equal strategies have equal ids.'
  ),
  audits (
    unique_values(columns := (attempt_key)),
    not_null(columns := (attempt_key, source, kc_keys, kc_ids, step_sizes, num_kcs, strategy_id)),
    accepted_range(column := num_kcs, min_v := 1),
    same_total(here := SUM(num_kcs), relation := core.steps, there := SUM(num_kcs))
  )
);

WITH sequences AS (
  SELECT
    attempt_key,
    MIN(source) AS source,
    MIN(student_key) AS student_key,
    MIN(section_key) AS section_key,
    MIN(problem_key) AS problem_key,
    @packed_list(kc_key, step_number) AS kc_keys,
    COUNT(*) AS num_kcs
  FROM core.step_kcs
  WHERE NOT is_ignored
  GROUP BY attempt_key
), sizes AS (
  SELECT attempt_key, @packed_list(num_kcs, step_number) AS step_sizes FROM core.steps WHERE num_kcs > 0 GROUP BY attempt_key
), places AS (
  SELECT kc_keys, @each_position(kc_keys) AS place FROM (SELECT DISTINCT kc_keys FROM sequences) AS different
), spelled AS (
  SELECT places.kc_keys, @list_by(kcs.kc_id, places.place) AS kc_ids
  FROM places
  INNER JOIN core.kcs AS kcs ON @entry_at(places.kc_keys, places.place) = kcs.kc_key
  GROUP BY places.kc_keys
)
SELECT
  sequences.attempt_key,
  sequences.source,
  sequences.student_key,
  sequences.section_key,
  sequences.problem_key,
  sequences.kc_keys,
  spelled.kc_ids,
  sizes.step_sizes,
  sequences.num_kcs,
  MD5(@joined_text(spelled.kc_ids)) AS strategy_id
FROM sequences
INNER JOIN sizes ON sequences.attempt_key = sizes.attempt_key
INNER JOIN spelled ON sequences.kc_keys = spelled.kc_keys
