"""Prove from receipts, tables and topics that each record is in the lake exactly once."""
