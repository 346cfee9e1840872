SELECT event_id, "${time}" FROM ${bronze}
UNION ALL
SELECT event_id, "${time}" FROM ${missing}
