MODEL (
  name training.recommendation_examples,
  kind FULL,
  grain (log_name, student_key, behavior_number),
  description 'What a recommender is asked: one row a behavior, with how much history was known when it was asked for, and the three targets. None says what a recommendation would have caused: the students chose, or their tutor did, and what was shown and passed over is not in these logs.',
  columns (
    source TEXT,
    log_name TEXT,
    student_key INT,
    behavior_number INT,
    catalog_key INT,
    requested_at TIMESTAMPTZ,
    history_length INT,
    is_next_item BOOLEAN,
    is_engaged BOOLEAN,
    is_correct BOOLEAN
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop, mathia or clicks.',
    log_name = 'What the behaviors are: answers, visits, problems or clicks.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    behavior_number = 'Order of the behaviors of the student in the log, from 1.',
    catalog_key = 'Dense number of the thing, from 1, unique over sources: core.catalog.',
    requested_at = 'When the student was about to do it, UTC; null without times.',
    history_length = 'Behaviors of the student that were over by then: those of an earlier time and of an earlier visit. Behaviors of one time or visit share it; without times, all that stand before.',
    is_next_item = 'Target next_item: true on the first meeting with the thing, which stands against things that the student never met, drawn by their popularity; false on repeats, which are no target. It means that the student took it up next, not that it was good for the student, nor that the others had been shown.',
    is_engaged = 'Target engagement, visits only: opened, and then submitted (bundles), or kept open for most of its length (lectures). Near all bundles are submitted, because the publisher took other visits out: only lectures tell one from the other. Null where not known.',
    is_correct = 'Target correct: the answer was right; of a problem of a tutor, every scored step at the first attempt. It tells what a student can do, not what is worth doing. Null where not known.'
  ),
  audits (
    not_null(columns := (source, log_name, student_key, behavior_number, catalog_key, history_length, is_next_item)),
    accepted_range(column := history_length, min_v := 0),
    forall(criteria := (history_length < behavior_number)),
    same_total(here := COUNT(*), relation := core.behaviors, there := COUNT(*))
  )
);

WITH stepped AS (
  SELECT
    behaviors.*,
    LAG(acted_at) OVER (PARTITION BY log_name, student_key ORDER BY behavior_number) AS previous_acted_at,
    LAG(visit_number) OVER (PARTITION BY log_name, student_key ORDER BY behavior_number) AS previous_visit
  FROM (
    SELECT source, log_name, student_key, behavior_number, catalog_key, visit_number, acted_at, requested_at, meeting_number, is_engaged, is_correct
    FROM core.behaviors
  ) AS behaviors
)
SELECT
  source,
  log_name,
  student_key,
  behavior_number,
  catalog_key,
  requested_at,
  MAX(
    CASE
      WHEN acted_at = previous_acted_at OR visit_number = previous_visit
      THEN 0
      ELSE behavior_number - 1
    END
  ) OVER (PARTITION BY log_name, student_key ORDER BY behavior_number) AS history_length,
  meeting_number = 1 AS is_next_item,
  is_engaged,
  is_correct
FROM stepped
ORDER BY source, log_name, student_key, behavior_number
