import pytest

from keras_crate.extras import needed

pytestmark = pytest.mark.any_backend


def test_a_missing_package():
    with pytest.raises(ImportError) as caught, needed("no-such-package", "Figures need"):
        import no_such_package  # noqa: F401
    assert str(caught.value) == (
        "Figures need no-such-package, which cannot be imported (No module named "
        "'no_such_package'). Install it with: pip install no-such-package\nIf it is installed, add "
        "--upgrade."
    )


def test_a_package_that_does_not_go_with_another():
    """It is installed, and says so itself: `datasets`, with a pyarrow that is too new."""
    with pytest.raises(ImportError) as caught, needed("datasets", "Hugging Face data sets need"):
        raise ImportError("pyarrow requires NumPy 2.0 or newer,\nfound 1.26.0")
    assert str(caught.value) == (
        "Hugging Face data sets need datasets, which cannot be imported (pyarrow requires NumPy "
        "2.0 or newer, found 1.26.0). Install it with: pip install datasets\nIf it is installed, "
        "add --upgrade."
    )
