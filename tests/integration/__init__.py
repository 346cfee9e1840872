"""Tests of tables and both jobs; their stack is emptied behind the last of them."""
