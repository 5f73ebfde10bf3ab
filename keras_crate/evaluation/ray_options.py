"""How a model runs on Ray."""

import dataclasses

from keras_crate.checks import check_not_negative, check_positive, names_arguments


@names_arguments
@dataclasses.dataclass(frozen=True)
class RayOptions:
    """How `write_features_on_ray` and `write_predictions_on_ray` run.

    Attributes:
        workers: The most copies of the model at once, >= 1. By default, one for each
            GPU of the cluster, or without GPUs one for every two CPUs.
        gpus: GPUs for each worker, >= 0. With 0.5, two workers share a GPU. By default
            1 if the cluster has GPUs, else 0.
        rows_per_file: Rows of each Parquet file that is written, >= 1. The last files may
            have fewer. A run that is interrupted repeats the images of unfinished files.
        column: Column of Parquet files that has the images: the bytes of an encoded
            image, such as JPEG, or a struct with `bytes`, as in data sets of Hugging Face.
        key: Column of Parquet files that names the image. Its values must differ, and
            must not be null. By default `path` or `id` if there is one, else
            `row_hash`: Ray's hash of the file's path and the row's number.
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
