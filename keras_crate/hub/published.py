"""What a publisher states about a model."""

import dataclasses
import re
from collections.abc import Mapping

from keras_crate.checks import check_choice, is_number
from keras_crate.evaluation import Evaluation
from keras_crate.models.half_precision import STORED
from keras_crate.weights.hub_files import SCHEME

_ON_HUB = r"[\w.-]+/[\w.-]+"  # names of models and data sets


@dataclasses.dataclass(frozen=True)
class Published:
    """The publisher's statements about a model, as `push` takes them.

    The address may also be the name of a variant of the package.
    """

    address: str
    dataset: str | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    license: str | None = None
    base_model: str | None = None
    training: Mapping = dataclasses.field(default_factory=dict)
    evaluation: Evaluation | None = None
    dtype: str | None = None

    @property
    def is_on_hub(self) -> bool:
        """Whether the address is of the Hub."""
        return self.address.startswith(SCHEME)

    @property
    def dataset_on_hub(self) -> str | None:
        """The data set's name on the Hub, `user/name`, or None for other names."""
        return self.dataset if re.fullmatch(_ON_HUB, self.dataset or "") else None

    def __post_init__(self):
        if self.dtype is not None:
            check_choice("dtype", self.dtype, STORED)
        for name, pattern, example in (
            ("dataset", r".*\S.*", "mnist"),
            ("license", r"[a-z0-9][a-z0-9.-]*", "apache-2.0"),
            ("base_model", _ON_HUB, "user/model"),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            if not (isinstance(value, str) and re.fullmatch(pattern, value)):
                raise ValueError(
                    f"`{name}` must be one line, such as {example!r}, or None. Received: "
                    f"{name}={value!r}"
                )
        for name, value in self.metrics.items():
            if not (isinstance(name, str) and is_number(value)):
                raise ValueError(
                    "`metrics` must be finite numbers by name, such as {'accuracy': 0.97}. "
                    f"Received: {name!r}: {value!r}"
                )
        if self.metrics and self.dataset is None:
            raise ValueError(
                "`metrics` need the `dataset` that they were measured on. Received: "
                f"metrics={dict(self.metrics)!r}, dataset=None"
            )
