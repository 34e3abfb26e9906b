"""
The kinds of stages. Each class owns its settings, checks, run, toy size and result; a new kind is a file here and a
line in `kinds.py`.
"""
