"""Tests of SQL on one lake, that another group of tests empties."""
