"""Views of the lake in Trino's SQL, one a file; `ticklake apply` creates them."""
