-- One append: a MERGE is refused whenever Flink commits meanwhile (see ../merge_late_trades.sql).
INSERT INTO ${bronze} (${columns})
SELECT ${columns} FROM ${missing}
