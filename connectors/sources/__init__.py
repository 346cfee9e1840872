"""One venue a file: settings, subscription and a pure parser of what the venue sends."""
