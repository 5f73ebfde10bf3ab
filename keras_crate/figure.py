"""Figures, for those who have matplotlib."""


def new_figure(width: float, height: float):
    """An empty `matplotlib.figure.Figure` of this size in inches.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib, which is not installed. Install it with: "
            "pip install matplotlib"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")
