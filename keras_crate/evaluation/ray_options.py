"""How a model runs on Ray."""

import dataclasses

from keras_crate.checks import check_not_negative, check_positive, names_arguments


@names_arguments
@dataclasses.dataclass(frozen=True)
class RayOptions:
    """How `write_features_on_ray` and `write_predictions_on_ray` run.

    Attributes:
        workers: Largest number of workers, >= 1. Each has a copy of the model. By default,
            one per GPU of the cluster, or without GPUs one per two CPUs.
        gpus: GPUs per worker, >= 0. With 0.5, two workers share a GPU. By default
            1 if the cluster has GPUs, else 0.
        rows_per_file: Rows of each Parquet file that is written, >= 1. The last files may
            have fewer. A resumed run repeats the images of unfinished files.
        column: Column of Parquet input with the images. Each is an encoded image, such
            as JPEG, as bytes or as a struct with `bytes`, as in data sets of Hugging Face.
        key: Column of Parquet input that names the image. Its values must be unique, and
            not null. By default `path` or `id` if there is one, else `row_hash`: Ray's
            hash of the file's path and the row's number.
        verbose: 1 for Ray's progress bars.

    Raises:
        ValueError: If a value is out of range.

    Example:

    ```python
    keras_crate.evaluation.RayOptions(workers=8, gpus=0.5)
    ```
    """

    workers: int | None = None
    gpus: float | None = None
    rows_per_file: int = 8192
    column: str = "image"
    key: str | None = None
    verbose: int = 0

    def __post_init__(self):
        if self.workers is not None:
            check_positive("workers", self.workers)
        if self.gpus is not None:
            check_not_negative("gpus", self.gpus)
        check_positive("rows_per_file", self.rows_per_file)
