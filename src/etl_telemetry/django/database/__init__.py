"""Databases as Django uses them: queries, connections, transactions, pools, and their servers."""
