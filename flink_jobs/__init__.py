"""Flink jobs: one .py with inputs, outputs and settings beside one .sql with the job itself."""
