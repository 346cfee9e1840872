"""What a table is: its schema, partitioning, sort order and properties, from the event it keeps."""
