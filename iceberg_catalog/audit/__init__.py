"""What the audit asks Trino, one statement a file.

`${...}` is a table or column as it is declared, a `?` a bound value. Lists are bound as one text:
JSON for numbers, separated by spaces for event ids, which have none.
"""
