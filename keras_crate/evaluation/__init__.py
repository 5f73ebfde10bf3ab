"""How images are prepared for a model, and how often a classifier is right."""
