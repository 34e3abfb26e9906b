"""Environments of other frameworks around the judge. Each module needs the framework it is named after."""
