"""Sets of TensorFlow Datasets in folders. ArrayRecord files are read without TensorFlow."""

import numpy as np
import pytest
from marks import needs

from keras_crate.data import Augmentation, EvaluationBatches, TrainingBatches, open_data
from keras_crate.data.array_records import ArrayRecordSource
from keras_crate.data.image_sources import ArraySource, TFDSSource
from keras_crate.training.training_input import choose_pipeline

pytestmark = needs("tensorflow", "tensorflow_datasets", "array_record")

IMAGES = np.stack([np.full((28, 28, 1), 10 * k, "uint8") for k in range(20)])


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def folder(request, tmp_path_factory):
    """20 images for training and 20 for test, in two files each."""
    import tensorflow_datasets as tfds

    class NumberedMnist(tfds.testing.DummyMnist, skip_registration=True):
        def _generate_examples(self):
            for k, image in enumerate(IMAGES):
                yield k, {"image": image, "label": k % 10}

    builder = NumberedMnist(data_dir=tmp_path_factory.mktemp("stored"), file_format=request.param)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=2))
    return builder.data_dir


def test_a_prepared_folder(folder):
    opened = open_data(str(folder), validation=0.2)
    assert (opened.classes, len(opened.train), len(opened.validation), len(opened.test)) == (
        10, 16, 4, 20
    )  # fmt: skip
    assert opened.class_names == tuple("0123456789") and opened.train.channels == 1
    numbers = [np.asarray(opened.train.image(k, "L")).mean() / 10 for k in range(16)]
    np.testing.assert_array_equal(opened.train.labels, np.mod(numbers, 10))
    is_array_record = isinstance(opened.train, ArrayRecordSource)
    assert is_array_record != isinstance(opened.train, TFDSSource)
    pipeline = choose_pipeline("auto", opened.train)
    assert pipeline == ("pydataset" if is_array_record else "tf.data")


def _array_records(folder) -> ArrayRecordSource:
    source = open_data(str(folder), validation=0).train
    if isinstance(source, TFDSSource):
        pytest.skip("of ArrayRecord")
    return source


def test_batches_are_those_of_an_array(folder):
    """In the same order, also of several processes, and in validation."""
    source = _array_records(folder)
    array = ArraySource(
        np.stack([np.asarray(source.image(k, "L"))[..., None] for k in range(20)]), source.labels
    )
    arguments = (10, (28, 28, 1), 8, Augmentation(), 3)
    whole = TrainingBatches(array, *arguments)
    parts = [TrainingBatches(source, *arguments, shard=(k, 2)) for k in (0, 1)]
    for step in range(2):
        for one, *several in zip(whole[step], *(part[step] for part in parts), strict=True):
            np.testing.assert_array_equal(one, np.concatenate(several))
    batches = EvaluationBatches(source, 10, (28, 28, 1), 20)
    np.testing.assert_array_equal(batches[0][0], array.images)


def test_training_does_not_read_all_labels(folder):
    source = _array_records(folder)
    batches = TrainingBatches(source, 10, (28, 28, 1), 8)
    assert batches[0][1].shape == (8, 10)
    assert "labels" not in vars(source)
    assert len(source.sample(5)) == 5


def test_other_features_are_refused(tmp_path):
    import tensorflow_datasets as tfds

    (tmp_path / "texts-train.array_record-00000-of-00001").write_bytes(b"")
    tfds.folder_dataset.write_metadata(
        data_dir=tmp_path,
        features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
        split_infos=[
            tfds.core.SplitInfo(
                name="train", shard_lengths=[0], num_bytes=0, filename_template=None
            )
        ],
        check_data=False,
    )
    with pytest.raises(ValueError, match=r"features `image` and `label`. Received.*features text"):
        open_data(str(tmp_path))
