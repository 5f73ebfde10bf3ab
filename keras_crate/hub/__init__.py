"""The authors' checkpoints, and models on the Hugging Face Hub."""

from keras_crate.evaluation import Evaluation
from keras_crate.hub.from_checkpoint import from_checkpoint
from keras_crate.hub.pull import pull
from keras_crate.hub.push import push
from keras_crate.hub.to_pytorch import to_pytorch
from keras_crate.hub.verify import Verification, verify
from keras_crate.weights.variants import ListedWeights, list_weights

__all__ = [
    "Evaluation",
    "ListedWeights",
    "Verification",
    "from_checkpoint",
    "list_weights",
    "pull",
    "push",
    "to_pytorch",
    "verify",
]


def __dir__():
    return sorted(__all__)
