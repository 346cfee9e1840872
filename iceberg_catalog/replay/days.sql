-- The days that a replay's rows lie on: bronze is looked at there only.
SELECT DISTINCT CAST("${time}" AS date) AS day
FROM (${staged})
ORDER BY 1
