"""Which weights are divided among devices, for JAX's model parallel training."""

from collections.abc import Iterator

import keras

from keras_crate.checks import names_arguments

MODEL_AXIS = "model"

# In an operator with two matrices, the first is divided by columns and the second by rows. The
# numbers between the two are then not sent to other devices. Heads are blocks of columns.
_COLUMNS, _ROWS = (None, MODEL_AXIS), (MODEL_AXIS, None)
LAYOUTS = {
    # MSSA, TSSA and CBSA: U by heads, and the output map by the heads that it reads.
    r".*subspaces/(kernel|lora_kernel_b)": _COLUMNS,
    r".*subspaces/bias": (MODEL_AXIS,),
    r".*output_projection/(kernel|lora_kernel_a)": _ROWS,
    r".*tssa/temperature": (MODEL_AXIS, None),
    r".*cbsa/step_(x|rep)": (MODEL_AXIS, None, None),
    # ISTA, OvercompleteISTA and CRATE-MAE's decoder: D by columns, which are its atoms.
    r".*(?<!output_)dictionary/(kernel|lora_kernel_b)": _COLUMNS,
    r".*output_dictionary/(kernel|lora_kernel_a)": _ROWS,
}


@names_arguments
def layout_map(device_mesh: keras.distribution.DeviceMesh) -> keras.distribution.LayoutMap:
    """Returns which weights are divided among devices, for `keras.distribution.ModelParallel`.

    The weights of the operators are divided along the mesh's axis `"model"`. Every device has all
    other weights, which are few.

    | operator | divided |
    | --- | --- |
    | `MSSA`, `TSSA`, `CBSA` | `U` and the output map, by heads |
    | `ISTA`, decoder of CRATE-MAE | the dictionary `D`, by columns |
    | `OvercompleteISTA` | both dictionaries, by atoms |

    An optimizer's slots are divided as their weights are. The number of devices along `"model"`
    must divide the number of heads and the width of the tokens.

    Args:
        device_mesh: Mesh with an axis named `"model"`. Batches are divided along the other
            axis, `"batch"`.

    Returns:
        A map from the paths of variables to the axes along which they are divided.

    Raises:
        ValueError: If the mesh has no axis `"model"`.

    Example:

    ```python
    devices = [f"gpu:{i}" for i in range(8)]
    mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"], devices)
    layout = keras_crate.training.layout_map(mesh)
    print(layout["block_0_mssa/subspaces/kernel"].axes)  # (None, "model")
    ```

    Under JAX, this call divides the weights of the models that are made after it:

        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
        )
    """
    _parts(device_mesh)
    layouts = keras.distribution.LayoutMap(device_mesh)
    for path, axes in LAYOUTS.items():
        layouts[path] = axes
    return layouts


def check_layout(model: keras.Model, device_mesh: keras.distribution.DeviceMesh) -> None:
    """Refuses a built model whose weights `layout_map` cannot divide evenly."""
    parts, layouts = _parts(device_mesh), layout_map(device_mesh)
    heads = {id(v): x.heads for x in _layers(model) if hasattr(x, "heads") for v in x.weights}
    divided = [(v, layouts[v.path].axes) for v in model.variables if layouts[v.path]]
    for variable, axes in divided:
        size = variable.shape[axes.index(MODEL_AXIS)]
        count, what = size, "columns" if axes == _COLUMNS else "rows"
        if id(variable) in heads:
            count, what = heads[id(variable)], "heads"
        if count % parts:
            raise ValueError(
                f"{parts} devices cannot divide {variable.path}, which has {count} {what}.\n"
                f"Received: a mesh of shape {tuple(device_mesh.shape)} with axes "
                f"{list(device_mesh.axis_names)}.\n"
                f'Give the axis "{MODEL_AXIS}" a size that divides {count}.'
            )
    if not divided:
        raise ValueError(
            f"{model.name!r} has no weights to divide among devices: none of its operators is "
            'one of this package.\nChoose distribute="data".'
        )


def check_divided(variable: keras.Variable, layout: keras.distribution.TensorLayout) -> None:
    """Refuses a variable that a layout does not divide into equal parts."""
    mesh = layout.device_mesh
    for size, axis in zip(variable.shape, layout.axes, strict=True):
        parts = 1 if axis is None else mesh.shape[mesh.axis_names.index(axis)]
        if size % parts:
            raise ValueError(
                f"{parts} devices cannot divide {variable.path}, of shape {tuple(variable.shape)}."
                "\nChoose another N in `distribute` model:N."
            )


def _parts(device_mesh) -> int:
    """The number of parts of a divided weight."""
    if MODEL_AXIS not in device_mesh.axis_names:
        raise ValueError(
            f'`device_mesh` must have an axis named "{MODEL_AXIS}". Received: axes '
            f"{list(device_mesh.axis_names)}.\n"
            f'Write keras.distribution.DeviceMesh((2, 4), ["batch", "{MODEL_AXIS}"]).'
        )
    return device_mesh.shape[device_mesh.axis_names.index(MODEL_AXIS)]


def _layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    yield layer
    for part in getattr(layer, "layers", ()):
        yield from _layers(part)
