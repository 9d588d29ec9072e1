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
    @list_by(kc_key, step_number, kc_key) AS kc_keys,
    @list_by(kc_id, step_number, kc_key) AS kc_ids,
    COUNT(*) AS num_kcs
  FROM core.step_kcs
  WHERE NOT is_ignored
  GROUP BY attempt_key
), sizes AS (
  SELECT attempt_key, @list_by(num_kcs, step_number) AS step_sizes FROM core.steps WHERE num_kcs > 0 GROUP BY attempt_key
)
SELECT
  sequences.attempt_key,
  sequences.source,
  sequences.student_key,
  sequences.section_key,
  sequences.problem_key,
  sequences.kc_keys,
  sequences.kc_ids,
  sizes.step_sizes,
  sequences.num_kcs,
  MD5(@joined_text(sequences.kc_ids)) AS strategy_id
FROM sequences
INNER JOIN sizes ON sequences.attempt_key = sizes.attempt_key
