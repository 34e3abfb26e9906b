"""The design document's configurations, and where each of their keys is in this project."""
