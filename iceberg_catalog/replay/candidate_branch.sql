SELECT event_id, "${time}" FROM ${bronze} FOR VERSION AS OF ${branch}
