"""The loss of SimDINO, self-supervision that the coding rate keeps from collapsing."""

from typing import Any, NamedTuple

from keras import ops

from keras_crate.checks import check_above_zero, names_arguments
from keras_crate.objective.rates import prepare


class SimDINOLoss(NamedTuple):
    """Result of `simdino_loss`: scalars.

    Attributes:
        total: `-coefficient * compression - gamma * coding_rate`, to minimise.
        compression: Mean cosine similarity in [-1, 1] of the features of
            different crops of an image.
        coding_rate: Coding rate of the global crops' features in nats, >= 0,
            mean over the crops.
        gamma: Weight of the coding rate.
    """

    total: Any
    compression: Any
    coding_rate: Any
    gamma: Any


@names_arguments
def simdino_loss(
    student, teacher, eps: float = 0.05, coefficient: float = 1.0, smooth: bool = True
) -> SimDINOLoss:
    """Loss of SimDINO: features of an image's crops agree, and those of all images spread.

    With `Z` the m x p features of a crop of all m images, the coding rate is
    `R(Z) = 1/2 logdet(I + p/(m eps) Z^T Z)`, and `gamma = (p + m)/(p m)`.
    Without this term, equal features for all images would be the best.

    Args:
        student: Features of all crops, global ones first; array or tensor of
            shape `(crops, m, p)`. SimDINO scales them to length 1.
        teacher: The teacher's features of the global crops, of shape
            `(global crops, m, p)`. At most as many crops as the student's.
        eps: Precision of the coding rate, > 0. It is not squared, as in the
            authors' code. For features of length 1 and eps of 0.01 or more,
            the rate in float32 is exact to a thousandth.
        coefficient: Weight of the similarity, > 0.
        smooth: Whether R is of the mean of the student's and the teacher's
            features (`expa_type=1` in the authors' code, its default), or of
            the student's alone.

    Returns:
        A `SimDINOLoss`: NumPy numbers for arrays, tensors for tensors. Of
        tensors with NaN or infinity, the loss is NaN.

    Raises:
        ValueError: If the shapes do not fit, there is one crop or one image, an
            array holds NaN or infinity, or a number is out of range.

    Example:

    ```python
    student = keras.random.normal((10, 64, 32))  # of 10 crops of 64 images
    student = student / keras.ops.norm(student, axis=-1, keepdims=True)
    loss = keras_crate.objective.simdino_loss(student, student[:2])
    print(loss.total, loss.compression, loss.coding_rate)
    ```

    Reference:
        Wu et al., "Simplifying DINO via Coding Rate Regularization",
        arXiv:2502.10385, and their published code, in one process.
    """
    check_above_zero("eps", eps)
    check_above_zero("coefficient", coefficient)
    xp, student = prepare(student)
    _, teacher = prepare(teacher)
    _check_shapes(student, teacher)
    crops, m, p = teacher.shape
    if m is None:  # TensorFlow does not know it in a graph
        m = ops.cast(ops.shape(student)[1], student.dtype)
    ours, theirs = _unit(xp, student), _unit(xp, teacher)
    # All pairs, without those of the same crop.
    similarity = xp.sum(xp.sum(ours, axis=0) * xp.sum(theirs, axis=0))
    similarity = similarity - xp.sum(ours[:crops] * theirs)
    compression = similarity / (m * (crops * student.shape[0] - crops))
    z = (student[:crops] + teacher) / 2 if smooth else student[:crops]
    gram = xp.swapaxes(z, -1, -2) @ z  # not `ops.matmul`, which rounds float64 under PyTorch
    # Cholesky's errors under JAX and PyTorch would hide a loss that is NaN.
    finite = xp.isfinite(gram)
    matrix = xp.eye(p, dtype=z.dtype) + p / (m * eps) * xp.where(finite, gram, 0.0)
    diagonal = xp.diagonal(xp.linalg.cholesky(matrix), axis1=-2, axis2=-1)
    rate = xp.mean(xp.sum(xp.log(diagonal), axis=-1))
    rate = xp.where(xp.all(finite), rate, float("nan"))
    gamma = (p + m) / (p * m)
    return SimDINOLoss(-coefficient * compression - gamma * rate, compression, rate, gamma)


def _unit(xp, z):
    return z / xp.sqrt(xp.maximum(xp.sum(z * z, axis=-1, keepdims=True), 1e-16))


def _check_shapes(student, teacher) -> None:
    ours, theirs = tuple(student.shape), tuple(teacher.shape)
    fits = len(ours) == len(theirs) == 3 and ours[1:] == theirs[1:]
    if not (fits and 0 < theirs[0] <= ours[0] and ours[0] > 1):
        raise ValueError(
            "`student` must have shape (crops, images, features) with two crops or more, and "
            f"`teacher` the same for the first crops. Received: student {ours}, teacher {theirs}"
        )
    if ours[1] == 1:
        raise ValueError(
            "The coding rate compares images, so a batch must hold two or more. Received: one "
            "image. Pass a larger `batch_size`."
        )
