AUDIT (
  name bars_are_consistent
);

/* Rows of this run only: an audit of all bars every five minutes would cost more than the bars. */
SELECT
  source_provider,
  asset_pair,
  open,
  high,
  low,
  close,
  volume,
  vwap,
  trade_count,
  revision,
  corrected_at
FROM @this_model
WHERE
  known_through >= @start_ts::TIMESTAMP(6) WITH TIME ZONE
  AND (
    low > LEAST(open, close)
    OR high < GREATEST(open, close)
    OR NOT vwap BETWEEN low AND high
    OR volume < 0
    OR (
      trade_count = 0
    ) <> (
      open IS NULL
    )
    OR (
      revision = 0
    ) <> (
      corrected_at IS NULL
    )
  )
