"""Tests of one stack of real servers, that is stopped behind the last of them."""
