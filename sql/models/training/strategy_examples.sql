MODEL (
  name training.strategy_examples,
  kind FULL,
  grain (attempt_key),
  description 'What embeddings, clusters and strategy predictors read: one row a problem attempt with at least one knowledge component, ordered by student and attempt.',
  columns (
    source TEXT,
    attempt_key BIGINT,
    student_key INT,
    student_id TEXT,
    section_key INT,
    section_id TEXT,
    problem_key INT,
    problem_id TEXT,
    problem_view INT,
    attempt_number INT,
    started_at TIMESTAMPTZ,
    split TEXT,
    published_split TEXT,
    kc_keys INT[],
    step_sizes INT[]
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    attempt_key = 'The problem attempt: student_key times 1,000,000 plus the interaction_number of its first step.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id; of tutors: data set and published id.',
    section_key = 'Dense number of the section, from 1.',
    section_id = 'Section of the curriculum: data set and published hierarchy.',
    problem_key = 'Dense number of the problem, from 1.',
    problem_id = 'Problem: section and published name.',
    problem_view = 'Time the student meets the problem as published, from 1; 1 where not published.',
    attempt_number = 'Order of the problem attempts of the student by their first step, from 1.',
    started_at = 'First action, local clock as if UTC; null in blank rows.',
    split = 'train, valid or test: the part of the split the student is wholly in.',
    published_split = 'Word of the file name: train, valid, test or master; null where there is none.',
    kc_keys = 'Strategy: knowledge components in order, side by side.',
    step_sizes = 'KCs of each step that has any, in order.'
  ),
  audits (
    unique_values(columns := (attempt_key)),
    not_null(columns := (source, attempt_key, student_key, section_key, problem_key, problem_view, attempt_number, split, kc_keys, step_sizes)),
    same_total(here := COUNT(*), relation := core.problem_attempts, there := SUM(CASE WHEN num_tagged_steps > 0 THEN 1 ELSE 0 END))
  )
);

SELECT
  attempts.source,
  attempts.attempt_key,
  attempts.student_key,
  attempts.student_id,
  attempts.section_key,
  attempts.section_id,
  attempts.problem_key,
  attempts.problem_id,
  attempts.problem_view,
  attempts.attempt_number,
  attempts.started_at,
  attempts.split,
  attempts.published_split,
  strategies.kc_keys,
  strategies.step_sizes
FROM core.problem_attempts AS attempts
INNER JOIN features.strategies AS strategies ON attempts.attempt_key = strategies.attempt_key
ORDER BY attempts.student_key, attempts.attempt_number
