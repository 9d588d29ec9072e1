MODEL (
  name features.mastery_edges,
  kind FULL,
  grain (attempt_key, kc_key),
  description 'One row a problem attempt and knowledge component met in it, bookkeeping left out: how its steps went, and how the EARLIER attempts of the student at any problem went on the component.',
  columns (
    source TEXT,
    attempt_key BIGINT,
    student_key INT,
    section_key INT,
    problem_key INT,
    kc_key INT,
    num_steps BIGINT,
    num_scored BIGINT,
    num_correct BIGINT,
    prior_scored BIGINT,
    prior_correct BIGINT,
    split TEXT,
    published_split TEXT
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    attempt_key = 'The problem attempt: student_key times 1,000,000 plus the interaction_number of its first step.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    section_key = 'Dense number of the section, from 1.',
    problem_key = 'Dense number of the problem, from 1.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    num_steps = 'Steps of the attempt with the component.',
    num_scored = 'Those whose first attempt is known.',
    num_correct = 'Those whose first attempt was right.',
    prior_scored = 'Steps with the component and a known first attempt in earlier attempts of the student (lower attempt_number).',
    prior_correct = 'Those whose first attempt was right.',
    split = 'train, valid or test: the part of the split the student is wholly in.',
    published_split = 'Word of the file name of the attempt: train, valid, test or master; null where there is none.'
  ),
  audits (
    unique_combination_of_columns(columns := (attempt_key, kc_key)),
    not_null(columns := (source, attempt_key, student_key, kc_key, num_steps, num_scored, num_correct, prior_scored, prior_correct, split)),
    forall(criteria := (num_correct <= num_scored, num_scored <= num_steps, prior_correct <= prior_scored)),
    same_total(here := SUM(num_steps), relation := core.problem_attempts, there := SUM(num_kcs))
  )
);

WITH met AS (
  SELECT
    attempt_key,
    kc_key,
    COUNT(*) AS num_steps,
    SUM(CASE WHEN is_correct IS NULL THEN 0 ELSE 1 END) AS num_scored,
    SUM(CASE WHEN is_correct THEN 1 ELSE 0 END) AS num_correct
  FROM core.step_kcs
  WHERE NOT is_ignored
  GROUP BY attempt_key, kc_key
)
SELECT
  attempts.source,
  met.attempt_key,
  attempts.student_key,
  attempts.section_key,
  attempts.problem_key,
  met.kc_key,
  met.num_steps,
  met.num_scored,
  met.num_correct,
  COALESCE(
    SUM(met.num_scored) OVER (
      PARTITION BY attempts.student_key, met.kc_key
      ORDER BY attempts.attempt_number
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ),
    0
  ) AS prior_scored,
  COALESCE(
    SUM(met.num_correct) OVER (
      PARTITION BY attempts.student_key, met.kc_key
      ORDER BY attempts.attempt_number
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ),
    0
  ) AS prior_correct,
  attempts.split,
  attempts.published_split
FROM met
INNER JOIN core.problem_attempts AS attempts ON met.attempt_key = attempts.attempt_key
