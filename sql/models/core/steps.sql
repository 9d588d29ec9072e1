MODEL (
  name core.steps,
  kind FULL,
  grain (student_key, interaction_number),
  description 'One row a student, problem, view and step of a tutor log: the first attempt at it, three counters, times, and its KCs. Steps without KC are kept, for order and time. Clocks are local and kept as if they were UTC: never compare them between students.',
  columns (
    source TEXT,
    dataset TEXT,
    relation TEXT,
    student_key INT,
    interaction_number INT,
    attempt_key BIGINT,
    step_number INT,
    section_key INT,
    problem_key INT,
    problem_view INT,
    item_key INT,
    started_at TIMESTAMPTZ,
    displayed_at TIMESTAMPTZ,
    correct_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    elapsed_seconds DOUBLE,
    correct_elapsed_seconds DOUBLE,
    error_elapsed_seconds DOUBLE,
    first_attempt TEXT,
    is_correct BOOLEAN,
    incorrects INT,
    hints INT,
    corrects INT,
    kc_ids TEXT[],
    kc_keys INT[],
    num_kcs INT,
    is_reentry BOOLEAN,
    num_rows BIGINT,
    num_source_rows BIGINT,
    is_opportunity_mismatch BOOLEAN,
    published_split TEXT,
    source_file TEXT,
    source_row INT
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    dataset = 'Name of the data set: the file name without train, test, master, transactions.',
    relation = 'steps where the step stands in a student-step roll-up, transactions where it was rolled up here.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    interaction_number = 'Order of the steps of the student, from 1: by the first action, then Row, then file order.',
    attempt_key = 'The problem attempt: student_key times 1,000,000 plus the interaction_number of its first step.',
    step_number = 'Order of the steps of the problem attempt, from 1.',
    section_key = 'Dense number of the section, from 1.',
    problem_key = 'Dense number of the problem, from 1.',
    problem_view = 'Time the student meets the problem as published, from 1; 1 where not published.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    started_at = 'First action on the step, local clock as if UTC; null in blank rows.',
    displayed_at = 'Start of the step as the publisher inferred it, local clock as if UTC; null after long gaps.',
    correct_at = 'First right answer, local clock as if UTC.',
    ended_at = 'Last action on the step, local clock as if UTC.',
    elapsed_seconds = 'Seconds on the step; null after long gaps.',
    correct_elapsed_seconds = 'Seconds on a step whose first attempt was right.',
    error_elapsed_seconds = 'Seconds on a step whose first attempt was wrong or a hint.',
    first_attempt = 'correct, incorrect or hint; null where blank.',
    is_correct = 'True where the first attempt was right; a hint first is an error; null where blank.',
    incorrects = 'Wrong answers on the step.',
    hints = 'Hints on the step, each change of the hint level counted.',
    corrects = 'Right answers on the step.',
    kc_ids = 'Knowledge components of the step in rising order, bookkeeping included; empty where it has none.',
    kc_keys = 'Their keys, rising like the names.',
    num_kcs = 'Knowledge components without bookkeeping.',
    is_reentry = 'True where the student comes back to the problem attempt after a step of another.',
    num_rows = 'Source rows, or rows of core.transaction_steps, that are this step.',
    num_source_rows = 'Rows of the source that are this step: step rows or judged transactions.',
    is_opportunity_mismatch = 'True where the cells of KCs and of opportunities have different lengths in a row of the step.',
    published_split = 'Word of the file name: train, valid, test or master; null where it has none. Not the split of the student.',
    source_file = 'File the row was read from.',
    source_row = 'Data row in its file, from 1.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, interaction_number)),
    unique_combination_of_columns(columns := (attempt_key, step_number)),
    unique_combination_of_columns(columns := (student_key, item_key, problem_view)),
    not_null(columns := (source, dataset, student_key, interaction_number, attempt_key, step_number, section_key, problem_key, problem_view, item_key, kc_ids, kc_keys, num_kcs, num_source_rows)),
    same_total(here := SUM(num_source_rows), relation := core.step_rows, there := SUM(num_source_rows))
  )
);

WITH sets AS (
  SELECT
    kc_set_key,
    @list_by(kc_id, kc_key) AS kc_ids,
    @list_by(kc_key, kc_key) AS kc_keys,
    SUM(CASE WHEN is_ignored THEN 0 ELSE 1 END) AS num_kcs
  FROM core.kc_sets
  GROUP BY kc_set_key
), repeated AS (
  SELECT student_key, item_key, problem_view, published_split, num_source_rows, is_opportunity_mismatch, kc_set_key
  FROM core.step_rows
  WHERE num_rows > 1
), joined_sets AS (
  SELECT
    student_key,
    item_key,
    problem_view,
    @list_by(kc_id, kc_key) AS kc_ids,
    @list_by(kc_key, kc_key) AS kc_keys,
    SUM(CASE WHEN is_ignored THEN 0 ELSE 1 END) AS num_kcs
  FROM (
    SELECT DISTINCT repeated.student_key, repeated.item_key, repeated.problem_view, kc_sets.kc_id, kc_sets.kc_key, kc_sets.is_ignored
    FROM repeated
    INNER JOIN core.kc_sets AS kc_sets ON repeated.kc_set_key = kc_sets.kc_set_key
  ) AS named
  GROUP BY student_key, item_key, problem_view
), merged AS (
  SELECT
    student_key,
    item_key,
    problem_view,
    MIN(published_split) AS published_split,
    SUM(num_source_rows) AS num_source_rows,
    MAX(CASE WHEN is_opportunity_mismatch THEN 1 ELSE 0 END) = 1 AS is_opportunity_mismatch
  FROM repeated
  GROUP BY student_key, item_key, problem_view
), numbered AS (
  SELECT
    step_rows.*,
    items.problem_key,
    items.section_key,
    ROW_NUMBER() OVER (
      PARTITION BY step_rows.student_key
      ORDER BY
        step_rows.started_milliseconds NULLS LAST,
        step_rows.published_row NULLS LAST,
        step_rows.source_file,
        step_rows.source_row
    ) AS interaction_number,
    LAG(items.problem_key) OVER (
      PARTITION BY step_rows.student_key
      ORDER BY
        step_rows.started_milliseconds NULLS LAST,
        step_rows.published_row NULLS LAST,
        step_rows.source_file,
        step_rows.source_row
    ) AS previous_problem,
    LAG(step_rows.problem_view) OVER (
      PARTITION BY step_rows.student_key
      ORDER BY
        step_rows.started_milliseconds NULLS LAST,
        step_rows.published_row NULLS LAST,
        step_rows.source_file,
        step_rows.source_row
    ) AS previous_view
  FROM core.step_rows AS step_rows
  INNER JOIN core.problem_steps AS items ON step_rows.item_key = items.item_key
  WHERE step_rows.is_first_row
), placed AS (
  SELECT
    numbered.*,
    ROW_NUMBER() OVER (PARTITION BY student_key, problem_key, problem_view ORDER BY interaction_number) AS step_number,
    FIRST_VALUE(interaction_number) OVER (PARTITION BY student_key, problem_key, problem_view ORDER BY interaction_number) AS first_number
  FROM numbered
)
SELECT
  placed.source,
  students.dataset,
  placed.relation,
  placed.student_key,
  placed.interaction_number,
  CAST(placed.student_key AS BIGINT) * 1000000 + placed.first_number AS attempt_key,
  placed.step_number,
  placed.section_key,
  placed.problem_key,
  placed.problem_view,
  placed.item_key,
  @from_milliseconds(placed.started_milliseconds) AS started_at,
  @from_milliseconds(placed.step_start_milliseconds) AS displayed_at,
  @from_milliseconds(placed.correct_milliseconds) AS correct_at,
  @from_milliseconds(placed.ended_milliseconds) AS ended_at,
  placed.elapsed_seconds,
  placed.correct_elapsed_seconds,
  placed.error_elapsed_seconds,
  placed.first_attempt,
  placed.first_attempt = 'correct' AS is_correct,
  placed.incorrects,
  placed.hints,
  placed.corrects,
  COALESCE(joined_sets.kc_ids, sets.kc_ids, @empty_list(TEXT)) AS kc_ids,
  COALESCE(joined_sets.kc_keys, sets.kc_keys, @empty_list(INT)) AS kc_keys,
  COALESCE(joined_sets.num_kcs, sets.num_kcs, 0) AS num_kcs,
  placed.step_number > 1
  AND (placed.problem_key <> placed.previous_problem OR placed.problem_view <> placed.previous_view) AS is_reentry,
  placed.num_rows,
  COALESCE(merged.num_source_rows, placed.num_source_rows) AS num_source_rows,
  COALESCE(merged.is_opportunity_mismatch, placed.is_opportunity_mismatch) AS is_opportunity_mismatch,
  COALESCE(merged.published_split, placed.published_split) AS published_split,
  placed.source_file,
  placed.source_row
FROM placed
INNER JOIN core.tutor_students AS students ON placed.student_key = students.student_key
LEFT JOIN sets ON placed.kc_set_key = sets.kc_set_key
LEFT JOIN joined_sets
  ON placed.student_key = joined_sets.student_key
  AND placed.item_key = joined_sets.item_key
  AND placed.problem_view = joined_sets.problem_view
LEFT JOIN merged
  ON placed.student_key = merged.student_key AND placed.item_key = merged.item_key AND placed.problem_view = merged.problem_view
