"""The accuracy of simple classifiers on a model's features, which are not trained further."""

import keras
import numpy as np

from keras_crate.checks import check_above_zero, check_positive, names_arguments
from keras_crate.evaluation.finite_batches import finite_batches
from keras_crate.evaluation.scores import Scores
from keras_crate.extras import needed
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.assign import HEAD_LAYERS


@names_arguments
def features_of(model: keras.Model, batches) -> tuple[np.ndarray, np.ndarray]:
    """Computes a model's features of labelled images.

    Args:
        model: A model that gives one vector an image. Of a classifier of this
            package, the features are those before its head.
        batches: Batches `(images, one-hot labels)`, such as the result of
            `Evaluation.batches`.

    Returns:
        Features `(n, d)`, float32, and labels `(n,)`.

    Raises:
        ValueError: If the model does not give one vector an image.

    Example:

    ```python
    from keras_crate.evaluation import features_of

    features, labels = features_of(model, [(images, [[1, 0], [0, 1]])])
    ```
    """
    model = without_head(model)
    found = [
        (model.predict_on_batch(images), np.argmax(labels, axis=-1))
        for images, labels in finite_batches(batches)
    ]
    features, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.asarray(features, "float32"), labels


def without_head(model: keras.Model) -> keras.Model:
    """Returns a classifier of this package without its head, and any other model as it is."""
    if hasattr(model, "without_hub"):  # a task of `keras_crate.keras_hub`
        model = model.without_hub()
    if isinstance(model, WhiteBoxModel) and getattr(model.settings, "include_top", False):
        head = next(layer for layer in model.layers if layer.name in HEAD_LAYERS)
        model = keras.Model(model.input, head.input)
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"The model must give one vector an image. Received: outputs of shape {shape}. Make it "
            'with `pooling="token"` or "avg".'
        )
    return model


@names_arguments
def knn_accuracy(
    features,
    labels,
    validation_features,
    validation_labels,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> Scores:
    """Measures how well the nearest features tell classes: weighted k-NN.

    Each of the nearest training images, by cosine similarity s, votes for its
    class with weight `exp(s / temperature)`.

    Args:
        features: Features of the training images, `(n, d)`.
        labels: Their classes, integers `(n,)`.
        validation_features: Features of the images to classify, `(m, d)`.
        validation_labels: Their classes, `(m,)`.
        neighbours: Number of neighbours that vote, in [1, n].
        temperature: Above 0. The smaller, the more the nearest count.

    Returns:
        `Scores`, which print as top-1 and top-5 accuracy. Classes without a
        training image are never predicted.

    Raises:
        ValueError: If shapes do not fit or a value is out of range.
        ImportError: If scikit-learn is not installed.

    Example:

    ```python
    scores = keras_crate.evaluation.knn_accuracy(tokens[0], range(17), tokens[1], range(17), 1)
    print(scores.summary()["top1"])
    ```

    Reference:
        Wu et al., arXiv:1805.01978, and Caron et al., arXiv:2104.14294, for the
        weights; k of 20 and the temperature are theirs.
    """
    check_positive("neighbours", neighbours)
    check_above_zero("temperature", temperature)
    with needed("scikit-learn", "k-NN needs"):
        from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(
        neighbours,
        metric="cosine",  # the distance, 1 - s
        algorithm="brute",
        weights=lambda distances: np.exp(-distances / temperature),
    )
    return _scores(classifier, features, labels, validation_features, validation_labels)


@names_arguments
def linear_accuracy(
    features, labels, validation_features, validation_labels, strength: float = 1.0
) -> Scores:
    """Measures how well a linear classifier tells classes by features: logistic regression.

    Features are standardised first.

    Args:
        features, labels, validation_features, validation_labels: As in
            `knn_accuracy`.
        strength: Inverse of the weights' penalty, above 0 (`C` of scikit-learn).

    Returns, Raises:
        As `knn_accuracy`.

    Example:

    ```python
    labels = [k % 2 for k in range(17)]
    print(keras_crate.evaluation.linear_accuracy(tokens[0], labels, tokens[1], labels))
    ```
    """
    check_above_zero("strength", strength)
    with needed("scikit-learn", "A linear classifier needs"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return _scores(classifier, features, labels, validation_features, validation_labels)


def _scores(classifier, features, labels, validation_features, validation_labels) -> Scores:
    """Fits a classifier of scikit-learn, and measures it. scikit-learn checks the shapes."""
    truth = np.asarray(validation_labels)
    classifier.fit(np.asarray(features), np.asarray(labels))
    probabilities = classifier.predict_proba(np.asarray(validation_features))
    if truth.shape != (len(probabilities),):
        raise ValueError(
            f"`validation_labels` must be {len(probabilities)} integers, one a validation image. "
            f"Received: shape {truth.shape}"
        )
    order = np.argsort(-probabilities, axis=1, kind="stable")
    known = classifier.classes_
    classes = int(max(known.max(), truth.max())) + 1
    top = tuple(k for k in (1, 5) if k <= len(known))
    return Scores(truth, known[order], classes, top)
