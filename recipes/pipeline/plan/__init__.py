"""
`--plan`: parameters, FLOPs, memory, speed and data of a recipe, computed from its settings alone. Nothing is trained,
and neither a GPU nor data is needed.
"""
