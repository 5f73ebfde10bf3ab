"""Side-by-side timing of the models and their peers, on the machine at hand."""
