MODEL (
  name features.item_difficulty,
  kind FULL,
  grain (item_key),
  description 'How hard each item is for TRAINING students, every attempt counted; items without such answers are absent.',
  columns (
    source TEXT,
    item_key INT,
    item_id TEXT,
    num_answers BIGINT,
    num_correct BIGINT,
    share_correct DOUBLE,
    difficulty DOUBLE
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    item_id = 'Published item id: EdNet question, ASSISTments problem (or `kc:` and the skill where no problem is published), step of a tutor''s problem.',
    num_answers = 'Answers of training students.',
    num_correct = 'Right answers of training students.',
    share_correct = 'num_correct divided by num_answers.',
    difficulty = 'Log odds of a wrong answer, half an answer added to each side; 0 is even, higher is harder.'
  ),
  audits (
    unique_values(columns := (item_key)),
    not_null(columns := (item_key, item_id, num_answers, difficulty)),
    accepted_range(column := share_correct, min_v := 0, max_v := 1)
  )
);

WITH counted AS (
  SELECT
    interactions.item_key,
    COUNT(*) AS num_answers,
    SUM(CASE WHEN interactions.is_correct THEN 1 ELSE 0 END) AS num_correct
  FROM core.interactions AS interactions
  INNER JOIN core.students AS students ON interactions.student_key = students.student_key
  WHERE students.split = 'train' AND interactions.is_correct IS NOT NULL
  GROUP BY interactions.item_key
)
SELECT
  items.source,
  counted.item_key,
  items.item_id,
  counted.num_answers,
  counted.num_correct,
  counted.num_correct / CAST(counted.num_answers AS DOUBLE) AS share_correct,
  LN((counted.num_answers - counted.num_correct + 0.5) / (counted.num_correct + 0.5)) AS difficulty
FROM counted
INNER JOIN core.items AS items ON counted.item_key = items.item_key
