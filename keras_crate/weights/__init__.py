"""Weights: files of any format, the authors' names, and the registry of what is published."""
