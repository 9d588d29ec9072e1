MODEL (
  name raw.manifests,
  kind VIEW,
  grain (source, relation),
  description 'One row a raw relation: how many rows were read, kept and refused, from what release and under what licence.',
  columns (
    source TEXT,
    relation TEXT,
    release TEXT,
    licence TEXT,
    selection TEXT,
    source_rows BIGINT,
    kept_rows BIGINT,
    rejected_rows BIGINT,
    duplicate_rows BIGINT,
    late_rows BIGINT,
    conflicting_rows BIGINT,
    num_deliveries BIGINT,
    num_shards BIGINT,
    excluded_members BIGINT
  ),
  column_descriptions (
    source = 'Source of the relation.',
    relation = 'Raw relation.',
    release = 'Release of the source where it is known.',
    licence = 'Licence of the source data.',
    selection = 'Students that were taken.',
    source_rows = 'Rows read from the source.',
    kept_rows = 'Rows kept.',
    rejected_rows = 'Rows refused with a reason.',
    duplicate_rows = 'Rows that an earlier delivery held already: kept once.',
    late_rows = 'Rows that came after later ones of their student: sorted in by time.',
    conflicting_rows = 'Rows equal to another in all that names an event, other in the rest: both kept; counted where files are added.',
    num_deliveries = 'Runs that added files; 0 where the relation was read as a whole.',
    num_shards = 'Parquet shards.',
    excluded_members = 'Archive members left out by the selection.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, relation)),
    forall(criteria := (source_rows = kept_rows + rejected_rows + duplicate_rows))
  )
);

SELECT
  source,
  relation,
  release,
  licence,
  selection,
  source_rows,
  kept_rows,
  rejected_rows,
  duplicate_rows,
  late_rows,
  conflicting_rows,
  num_deliveries,
  num_shards,
  excluded_members
FROM @manifest_rows(@raw_manifests)
