"""The training batches of a run."""

import importlib.util

import keras

from keras_crate.checks import check_choice
from keras_crate.data import LabelledImages, TrainingBatches, training_dataset
from keras_crate.data.array_records import ArrayRecordSource
from keras_crate.data.batches import image_mode
from keras_crate.data.image_sources import FileSource, HuggingFaceSource, ImageSource, TFDSSource
from keras_crate.data.share import share_of_training
from keras_crate.training.recipe import Recipe

PIPELINES = ("auto", "tf.data", "pydataset")


class TrainingInput:
    """The training batches of a run. `batch_size` is of one update and all processes."""

    shuffle = False  # the batches are shuffled already, by the run's seed

    def __init__(
        self,
        model: keras.Model,
        data: LabelledImages,
        recipe: Recipe,
        options,
        shard: tuple[int, int],
    ):
        self.data, self.source, self.classes, self.options = data, data.train, data.classes, options
        self.pipeline = choose_pipeline(options.pipeline, data.train)
        self.shape = tuple(model.input_shape[1:])
        self.mode = image_mode(self.shape)
        self.augmentation = recipe.augmentation()
        images = len(data.train)
        self.share = share_of_training(recipe.batch_size, images, shard, recipe.accumulate)
        self.batch_size = self.share.batch_size
        self.images_per_epoch = images // self.batch_size * self.batch_size
        self.steps = images // self.batch_size * recipe.accumulate
        if self.shape[-1] == 4 and self.augmentation.rand_augment:
            raise ValueError(
                "`rand_augment` is for grey and RGB images. Received: a model of 4 channels. Set "
                "it to none."
            )

    def begin(self, epoch: int) -> None:
        """Makes the batches for `fit` from an epoch on, counted from 0."""
        self.first_epoch, self.for_fit = epoch, self._from_epoch(epoch)

    def of_epoch(self, epoch: int):
        """Makes the batches of one epoch again, as arrays."""
        batches = self._from_epoch(epoch)
        if self.pipeline == "tf.data":
            yield from batches.take(self.steps).as_numpy_iterator()
        else:
            yield from (batches[step] for step in range(self.steps))

    def _from_epoch(self, epoch: int):
        options = self.options
        arguments = (self.source, self.classes, self.shape, self.batch_size, self.augmentation)
        arguments = (*arguments, options.seed, epoch, options.augment)
        share = self.share
        parts = {"shard": (share.index, share.count), "accumulate": share.accumulate}
        if self.pipeline == "tf.data":
            return training_dataset(*arguments, **parts)[0]
        return TrainingBatches(*arguments, options.workers, **parts)

    def name_broken_file(self, error: Exception) -> None:
        """Raises an error with the file's name if TensorFlow could not decode one.

        TensorFlow does not name the file, so files are read until one fails.
        """
        if type(error).__name__ == "InvalidArgumentError" and isinstance(self.source, FileSource):
            for k in range(len(self.source)):
                self.source.image(k, self.mode)

    def about(self) -> dict:
        """The facts of the images for run.json."""
        validation, test = self.data.validation, self.data.test
        return {
            "images": len(self.source),
            "validation_images": len(validation) if validation is not None else 0,
            "test_images": len(test) if test is not None else 0,
        }

    def summary(self) -> str:
        """The images in a few words."""
        about = self.about()
        return (
            f"{about['images']:,} training images of {self.classes} classes, "
            f"{about['validation_images']:,} for validation, {about['test_images']:,} for test: "
            f"{self.data.source}"
        )


def choose_pipeline(wanted: str, source: ImageSource) -> str:
    """Returns the pipeline that makes the batches: the wanted one, if it can read the images.

    `"auto"` is tf.data if TensorFlow is installed and can read them.
    """
    check_choice("pipeline", wanted, PIPELINES)
    only, kind = None, ""
    if isinstance(source, HuggingFaceSource):
        only, kind = "pydataset", "data sets of Hugging Face"
    elif isinstance(source, ArrayRecordSource):
        only, kind = "pydataset", "ArrayRecord files"
    elif isinstance(source, TFDSSource):
        only, kind = "tf.data", "data sets of TensorFlow"
    elif isinstance(source, FileSource):
        tiff = [file for file in source.files if file.suffix.lower() in (".tif", ".tiff")]
        if tiff:  # TensorFlow does not decode them
            only, kind = "pydataset", f"TIFF images, such as {tiff[0]}"
    if only and wanted not in ("auto", only):
        raise ValueError(f"`pipeline` must be {only} for {kind}. Received: pipeline={wanted!r}")
    if wanted != "auto":
        return wanted
    return only or ("tf.data" if importlib.util.find_spec("tensorflow") else "pydataset")
