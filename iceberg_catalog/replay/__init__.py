"""SQL of `ticklake replay`, one statement a file; `${...}` comes from the declaration."""
