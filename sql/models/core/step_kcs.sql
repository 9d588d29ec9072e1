MODEL (
  name core.step_kcs,
  kind VIEW,
  grain (attempt_key, step_number, kc_key),
  description 'One row a step of a tutor log and knowledge component, bookkeeping included and marked.',
  columns (
    source TEXT,
    student_key INT,
    interaction_number INT,
    attempt_key BIGINT,
    step_number INT,
    section_key INT,
    problem_key INT,
    item_key INT,
    is_correct BOOLEAN,
    kc_key INT,
    kc_id TEXT,
    is_ignored BOOLEAN
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    interaction_number = 'Order of the steps of the student, from 1: by the first action, then Row, then file order.',
    attempt_key = 'The problem attempt: student_key times 1,000,000 plus the interaction_number of its first step.',
    step_number = 'Order of the steps of the problem attempt, from 1.',
    section_key = 'Dense number of the section, from 1.',
    problem_key = 'Dense number of the problem, from 1.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    is_correct = 'True where the first attempt was right; a hint first is an error; null where blank.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    kc_id = 'Knowledge component: data set and published name.',
    is_ignored = 'True for bookkeeping: the name has a word of the setting warehouse.ignored_kcs. Left out of strategies.'
  ),
  audits (
    not_null(columns := (attempt_key, step_number, kc_key, kc_id, is_ignored))
  )
);

WITH named AS (
  SELECT DISTINCT kc_key, kc_id, is_ignored FROM core.kc_sets
), members AS (
  SELECT
    source,
    student_key,
    interaction_number,
    attempt_key,
    step_number,
    section_key,
    problem_key,
    item_key,
    is_correct,
    @each_of(kc_keys) AS kc_key
  FROM core.steps
)
SELECT
  members.source,
  members.student_key,
  members.interaction_number,
  members.attempt_key,
  members.step_number,
  members.section_key,
  members.problem_key,
  members.item_key,
  members.is_correct,
  members.kc_key,
  named.kc_id,
  named.is_ignored
FROM members
INNER JOIN named ON members.kc_key = named.kc_key
