"""Adapter: git histories, read and extended in a repository of our own beside the user's."""
