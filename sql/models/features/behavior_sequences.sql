MODEL (
  name features.behavior_sequences,
  kind FULL,
  grain (source, log_name, student_key),
  description 'What each student did, oldest first: one row a student and log, lists side by side, the most recent 10,000 behaviors. What is new is added at the end. Categories and parts of the things stand in core.catalog, words for outcomes in core.outcomes.',
  columns (
    source TEXT,
    log_name TEXT,
    student_key INT,
    student_id TEXT,
    num_behaviors BIGINT,
    num_kept BIGINT,
    catalog_keys INT[],
    outcome_keys INT[],
    acted_milliseconds BIGINT[],
    earlier_catalog_keys INT[]
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop, mathia or clicks.',
    log_name = 'What the behaviors are: answers, visits, problems or clicks.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    num_behaviors = 'Behaviors of the student in the log; the last entry of the lists is behavior number num_behaviors.',
    num_kept = 'Length of the lists, at most 10,000.',
    catalog_keys = 'Things of core.catalog.',
    outcome_keys = 'Outcomes of core.outcomes; 0 where none is known.',
    acted_milliseconds = 'When, milliseconds since 1970; 0 where unknown.',
    earlier_catalog_keys = 'Things met before the lists begin, each once, in rising order: known to the student, too.'
  ),
  audits (
    unique_combination_of_columns(columns := (log_name, student_key)),
    not_null(columns := (source, log_name, student_key, student_id, num_behaviors, num_kept, catalog_keys, outcome_keys, acted_milliseconds, earlier_catalog_keys)),
    accepted_range(column := num_kept, min_v := 1, max_v := 10000),
    forall(criteria := (num_kept <= num_behaviors)),
    same_total(here := SUM(num_behaviors), relation := core.behaviors, there := COUNT(*))
  )
);

WITH counts AS (
  SELECT source, log_name, student_key, COUNT(*) AS num_behaviors
  FROM core.behaviors
  GROUP BY source, log_name, student_key
), placed AS (
  SELECT
    behaviors.source,
    behaviors.log_name,
    behaviors.student_key,
    behaviors.catalog_key,
    COALESCE(outcomes.outcome_key, 0) AS outcome_key,
    COALESCE(@to_milliseconds(behaviors.acted_at), 0) AS acted_milliseconds,
    behaviors.behavior_number - GREATEST(counts.num_behaviors - 10000, 0) AS place,
    counts.num_behaviors
  FROM core.behaviors AS behaviors
  INNER JOIN counts ON behaviors.log_name = counts.log_name AND behaviors.student_key = counts.student_key
  LEFT JOIN core.outcomes AS outcomes
    ON behaviors.source = outcomes.source
    AND behaviors.log_name = outcomes.log_name
    AND behaviors.outcome = outcomes.outcome
), kept AS (
  SELECT
    source,
    log_name,
    student_key,
    MIN(num_behaviors) AS num_behaviors,
    COUNT(*) AS num_kept,
    @packed_list(catalog_key, place, 31) AS catalog_keys,
    @packed_list(outcome_key, place, 31) AS outcome_keys,
    @packed_list(acted_milliseconds, place, 48) AS acted_milliseconds
  FROM placed
  WHERE place > 0
  GROUP BY source, log_name, student_key
), earlier AS (
  SELECT log_name, student_key, @sorted_list(catalog_key) AS catalog_keys
  FROM (SELECT DISTINCT log_name, student_key, catalog_key FROM placed WHERE place <= 0) AS things
  GROUP BY log_name, student_key
)
SELECT
  kept.source,
  kept.log_name,
  kept.student_key,
  students.student_id,
  kept.num_behaviors,
  kept.num_kept,
  kept.catalog_keys,
  kept.outcome_keys,
  kept.acted_milliseconds,
  COALESCE(earlier.catalog_keys, @empty_list(INT)) AS earlier_catalog_keys
FROM kept
INNER JOIN core.students AS students ON kept.student_key = students.student_key
LEFT JOIN earlier ON kept.log_name = earlier.log_name AND kept.student_key = earlier.student_key
ORDER BY kept.source, kept.log_name, kept.student_key
