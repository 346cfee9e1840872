"""One module a topic; each has `register(app: typer.Typer)`, and imports lazily what is slow."""
