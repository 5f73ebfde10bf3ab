"""New figures of matplotlib."""

from keras_crate.extras import needed


def new_figure(width: float, height: float):
    """Returns an empty `matplotlib.figure.Figure` of this size in inches.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    with needed("matplotlib", "Figures need"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), layout="constrained")
