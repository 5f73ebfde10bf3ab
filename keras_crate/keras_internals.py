"""The private parts of Keras that the package uses, each in a function of its own.

Keras may change these parts without notice. `tests/test_keras_internals.py` has a
test for each, which shows the part that a new version of Keras breaks.
"""

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator

import keras

# The module of the optimizers that Keras makes under PyTorch. Its name in a saved file
# would keep the other backends from loading it; tests/models/test_saving.py shows it.
TORCH_OPTIMIZERS = "keras.src.backend.torch.optimizers"


def parts_of(layer: keras.layers.Layer, include_self: bool = True, recursive: bool = True) -> list:
    """Returns a layer and the layers inside it, depth first.

    `keras.Model.layers` has a model's own layers, but not the layers inside a
    layer, such as the Dense layers of MSSA. Without this, adapters, quantised
    parts and stored variables of sublayers would not be found.
    """
    return list(layer._flatten_layers(recursive=recursive, include_self=include_self))


def stored_kernel(dense: keras.layers.Dense):
    """Returns the variable of a Dense layer's kernel, without adapters of LoRA.

    `Dense.kernel` is the kernel with the adapters added, which cannot be
    assigned. Without this, a layer with adapters could not be quantised.
    """
    return dense._kernel


def has_metrics_without_variables(model: keras.Model) -> bool:
    """Whether a compiled model has metrics whose variables are made by their first use.

    Without this, the first batch of a `PyDataset` would be computed before each `fit`.
    """
    metrics = getattr(model, "_compile_metrics", None)
    return metrics is not None and not metrics.built


def variable_path(optimizer: keras.optimizers.Optimizer, variable) -> str:
    """Returns the path of a variable that an optimizer updates.

    Under TensorFlow `update_step` receives the backend's variable, which has
    no Keras path. Without this, the learning rate could not depend on the
    depth of a variable.
    """
    return optimizer._trainable_variables[optimizer._get_variable_index(variable)].path


class AveragesOfUpdates:
    """Mixin for a Keras optimizer: moving averages of the weights change only at updates.

    With `gradient_accumulation_steps`, the weights change only at some steps. Keras updates
    the averages at every step, in `_update_model_variables_moving_average`. Without this,
    the averages would decay faster than those of one large batch.
    """

    def _update_model_variables_moving_average(self, trainable_variables):
        momentum, steps = self.ema_momentum, self.gradient_accumulation_steps
        if steps:
            is_update = keras.ops.equal(keras.ops.mod(self._iterations + 1, steps), 0)
            self.ema_momentum = keras.ops.where(is_update, momentum, 1.0)
        super()._update_model_variables_moving_average(trainable_variables)
        self.ema_momentum = momentum


class SwappedAverages(keras.callbacks.SwapEMAWeights):
    """Exchanges the weights and their moving averages, also where processes divide them.

    Keras copies them to NumPy, for which a process needs all parts. Without this, `model:N`
    across processes could not be evaluated with averages.
    """

    def _backend_swap_variables(self, optimizer):
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
            value = keras.ops.copy(variable.value)
            variable.assign(average.value)
            average.assign(value)


def check_before_quantize(model: keras.Model, check: Callable) -> None:
    """Makes `model.quantize` call `check` with its arguments before Keras checks them.

    Keras replaces the method `quantize` of each new object by a function that checks the
    arguments first. Without this, `quantize("gptq")` would ask for a `GPTQConfig`, which
    the package refuses too.

    Keras also collects garbage after each layer. Without `gc.freeze`, each collection would
    search all objects of the process: 4 s instead of 0.01 s for 20 layers.
    """
    by_keras = model.quantize

    @functools.wraps(by_keras)
    def quantize(*args, **kwargs):
        check(*args, **kwargs)
        frozen = gc.get_freeze_count()
        gc.freeze()
        try:
            return by_keras(*args, **kwargs)
        finally:
            if not frozen:  # else the user froze objects, which stay frozen
                gc.unfreeze()

    model.quantize = quantize


def compile_steps_anew(model: keras.Model) -> None:
    """Makes `fit`, `evaluate` and `predict` compile their steps again at their next call.

    `make_train_function(force=True)` would compile at once. Without this, a loss
    term that is added after the first `fit` would be ignored, and adapters of LoRA
    that are added after the first `predict` too.
    """
    model.train_function = model.test_function = model.predict_function = None


@contextlib.contextmanager
def outside_remat_scopes() -> Iterator["keras.RematScope | None"]:
    """In its `with` statement, layers are made as if no `keras.RematScope` were open.

    Keras has no function for the open scopes. Without this, a scope around a
    constructor would rematerialise layers for which this fails under TensorFlow.
    Yields the innermost open scope, or None.
    """
    stack = keras.src.backend.common.global_state.get_global_attribute("remat_scope_stack")
    stack = [] if stack is None else stack
    scopes = list(stack)
    stack.clear()
    try:
        yield scopes[-1] if scopes else None
    finally:
        stack[:] = scopes


def random_seed_dtype() -> str:
    """The dtype of the seeds of the backend's random numbers."""
    return keras.src.backend.random_seed_dtype()


def run_graph(model: keras.Model, inputs, operation_fn: Callable):
    """Computes a functional model's outputs, and frees each tensor after its last use.

    Keras keeps all tensors between layers until the end. On an eager backend this
    costs memory and time: 1.2 GB for a CRATE-B's prediction of 32 images.
    Compilers free tensors by themselves. The graph is read from
    `_nodes_by_depth`, `arguments.fill_in` and `_outputs_struct`; without them
    PyTorch would run the model by Keras' own, slower way.
    """
    by_depth = model._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    nodes = [node for node in nodes if node.operation and not node.is_input]
    last_use = {id(x): node for node in nodes for x in node.input_tensors}
    kept = {id(x) for x in model.outputs}
    values = {id(x): y for x, y in zip(model.inputs, keras.tree.flatten(inputs), strict=True)}
    for node in nodes:
        arguments, options = node.arguments.fill_in(values)
        outputs = operation_fn(node.operation)(*arguments, **options)
        values |= {id(x): y for x, y in zip(node.outputs, keras.tree.flatten(outputs), strict=True)}
        del arguments, options, outputs
        for x in node.input_tensors:
            if last_use[id(x)] is node and id(x) not in kept:
                values.pop(id(x), None)
    outputs = [values[id(x)] for x in model.outputs]
    return keras.tree.pack_sequence_as(model._outputs_struct, outputs)


@contextlib.contextmanager
def changed_gradients(optimizer: keras.optimizers.Optimizer, change: Callable) -> Iterator[None]:
    """In its `with` statement, an optimizer changes its gradients before it clips them.

    Keras clips the gradients of each replica, and TensorFlow's optimizers add them up
    later. Without this, `global_clipnorm` would have another effect on several devices.
    With gradient accumulation, Keras clips once per update.
    """
    clip = optimizer._clip_gradients
    optimizer._clip_gradients = lambda gradients: clip(change(gradients))
    try:
        yield
    finally:
        del optimizer._clip_gradients


@contextlib.contextmanager
def without_second_sum(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """In its `with` statement, an optimizer of TensorFlow does not add up the replicas' gradients.

    `changed_gradients` has done so. Without this, they would be added up twice.
    """
    optimizer._all_reduce_sum_gradients = lambda pairs: pairs
    try:
        yield
    finally:
        del optimizer._all_reduce_sum_gradients


@contextlib.contextmanager
def changed_results(model: keras.Model, before: Callable) -> Iterator[None]:
    """In its `with` statement, `before` is called before a model's metrics are read.

    Keras reads them with `_get_metrics_result_or_logs`, once at the end of an epoch or an
    evaluation. Without this, each process would report the metrics of its own images.
    """
    read = model._get_metrics_result_or_logs

    def read_after(logs):
        before()
        return read(logs)

    model._get_metrics_result_or_logs = read_after
    try:
        yield
    finally:
        del model._get_metrics_result_or_logs


@contextlib.contextmanager
def changed_moments(model: keras.Model, moments: Callable) -> Iterator[None]:
    """In its `with` statement, other moments are used by a model's batch normalisations.

    `synchronized=True` of `keras.layers.BatchNormalization` is for TensorFlow only, and a
    model that is saved with it cannot be loaded under JAX and PyTorch. Without this, each
    replica would normalise by its own images.
    """
    layers = [p for p in parts_of(model) if isinstance(p, keras.layers.BatchNormalization)]
    for layer in layers:
        layer._moments = lambda inputs, mask, layer=layer: moments(inputs, layer._reduction_axes)
    try:
        yield
    finally:
        for layer in layers:
            del layer._moments


@contextlib.contextmanager
def variables_without_values() -> Iterator[None]:
    """In its `with` statement, new models have variables with shapes, but nothing is allocated.

    Such a model cannot compute. Keras gives its variables values at the end of the next
    stateless scope, if they are in its list. Without this, a file's model would fill the
    memory before its size is known.
    """
    from keras.src.backend.common import global_state

    name = "uninitialized_variables"
    pending = list(global_state.get_global_attribute(name) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, pending)


def needs_values(error: BaseException) -> bool:
    """Whether a model failed in `variables_without_values` for a `keras.Variable(array)`."""
    while following := error.__cause__ or error.__context__:
        error = following
    return str(error).startswith("You are attempting to create a variable while in a stateless")


@contextlib.contextmanager
def trained_by_workers(model: keras.Model, strategy) -> Iterator[None]:
    """In its `with` statement, a model can be trained by `MultiWorkerMirroredStrategy`.

    To build the metrics, Keras averages a batch over all workers. After a step, it averages
    the step's values along their first axis. Both fail, the second because the values are
    scalars. Here, the model is built from a batch of this worker, and the values get a first
    axis. Without this, several processes could not train under TensorFlow.
    """

    def build(iterator=None, data_batch=None):
        _, _, batches = next(iter(iterator))
        of_replica = lambda part: strategy.experimental_local_results(part)[0]  # noqa: E731
        with strategy.scope():
            model._symbolic_build(data_batch=keras.tree.map_structure(of_replica, next(batches)))

    def with_axis(step):
        return lambda data: {name: value[None] for name, value in step(data).items()}

    model._maybe_symbolic_build = build
    model.train_step, model.test_step = with_axis(model.train_step), with_axis(model.test_step)
    try:
        yield
    finally:
        del model._maybe_symbolic_build, model.train_step, model.test_step
