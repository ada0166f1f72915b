"""Runs as they happen. Rows are the truth and a signal only says where to look, so losing every signal loses nothing
but time: what is sent to a watcher, and its place in the order, comes from SQL.
"""
