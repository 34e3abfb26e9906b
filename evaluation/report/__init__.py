"""
Results as tables, plots, Markdown and an HTML page.

Imports go one way: `runs` <- `overview`, `samples`, `depths` <- `plots` <- `markdown`, `page` <- `write`.
"""
