"""What a Keras model gives: that it is outputs at all, and what its last activation is."""
# pyright: reportAttributeAccessIssue=false
# (pyright takes `import keras` for the file keras.py beside this one)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.errors import TrainingError
from aiqc_core.train.arrays import as_array
from aiqc_core.train.meaning import LOGITS, LOGS, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAYING = {
    "softmax": PROBABILITIES, "sigmoid": PROBABILITIES, "hard_sigmoid": PROBABILITIES,
    "hardsigmoid": PROBABILITIES, "log_softmax": LOGS, "logsoftmax": LOGS, "log_sigmoid": LOGS,
    "logsigmoid": LOGS,
}  # fmt: skip
# What leaves the meaning of numbers as it is; then layers that have no activation by default.
PASSING = {
    "Reshape", "Flatten", "Dropout", "Identity", "Cast", "Squeeze", "ExpandDims", "Activation",
    "ActivityRegularization", "InputLayer",
}  # fmt: skip
OPERATIONS = {
    "Identity",
    "Cast",
    "Reshape",
    "Squeeze",
    "ExpandDims",
    "EnsureShape",
    "StopGradient",
}
BARE = {"Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"}
ORDINARY = {"relu", "tanh", "elu", "selu", "gelu", "silu", "swish", "softplus", "leaky_relu"}
DEPTH = 32
SILENT, PASS, UNKNOWN = "says nothing", "passes on", "unknown"


def checked(model: Any, output: Any, samples: int) -> NDArray[Any]:
    """Return the output of a model as an array, or say what is wrong with it.

    Raises:
        TrainingError: it is no tensor, or has not a row a sample.
    """
    name = type(model).__name__
    if output is None or isinstance(output, dict | list | tuple):
        given = "None" if output is None else f"a {type(output).__name__} of {len(output)}"
        raise TrainingError(
            f"the model ({name}) gives {given}. Let it have one output: a tensor (samples, …). "
            "Several can be joined by keras.layers.Concatenate; return_state=True of a layer "
            "gives its state beside its output."
        )
    array = as_array(output)
    if array.ndim == 0 or len(array) != samples:
        shape = "a single number" if array.ndim == 0 else f"outputs {array.shape}"
        raise TrainingError(
            f"the model ({name}) gives {shape} for {samples} samples. Let it give a row a sample, "
            "(samples, …); a mean over all samples is for the loss."
        )
    return array


def last_activation(model: Any, features: Sequence[Any]) -> str | None:
    """Return what the last activation of a model says of its outputs.

    Layers are asked first; where they cannot tell, as in a class with a `call` of its own, the
    graph of its operations.

    Returns:
        `'probabilities'` of softmax and sigmoid, `'log-probabilities'` of their logarithms,
        `'logits'` of a layer without activation, None where it cannot be known.
    """
    found = _of(model)
    if found is UNKNOWN:
        return _traced(model, features)
    return None if found in {SILENT, PASS} else found


def _of(layer: Any, depth: int = 0) -> str:
    """Return what a layer says, or that it says nothing, passes on what it gets, or is unknown."""
    kind, of_keras = type(layer).__name__, type(layer).__module__.startswith("keras.")
    if depth > DEPTH:
        return UNKNOWN
    if _is_functional(layer):
        return _of_tensor(layer.outputs[0], depth)
    if kind in {"Sequential", "TimeDistributed"}:
        inner = layer.layers if kind == "Sequential" else [layer.layer]
        found = (_of(each, depth + 1) for each in reversed(inner))
        return next((each for each in found if each is not PASS), PASS)
    return _of_layer(layer, kind) if of_keras and kind != "Lambda" else UNKNOWN


def _of_layer(layer: Any, kind: str) -> str:
    activation = _name(getattr(layer, "activation", None))
    said = SAYING.get(kind.lower()) or SAYING.get(activation)
    if said is not None:
        return said
    if activation not in {"", "linear"}:
        return SILENT if activation in ORDINARY else UNKNOWN
    return LOGITS if kind in BARE else PASS if kind in PASSING else SILENT


def _of_tensor(tensor: Any, depth: int) -> str:
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return UNKNOWN
    operation = history.operation
    if hasattr(operation, "trainable_variables"):
        said = _of(operation, depth + 1)
    else:  # a function of keras.ops
        kind = type(operation).__name__
        said = SAYING.get(kind.lower(), PASS if kind in OPERATIONS else SILENT)
    node = operation._inbound_nodes[history.node_index]  # noqa: SLF001 - the graph of a model
    if said is PASS and node.input_tensors:
        return _of_tensor(node.input_tensors[0], depth + 1)
    return said


def _is_functional(layer: Any) -> bool:
    outputs = getattr(layer, "outputs", None) if type(layer).__name__ != "Sequential" else None
    return bool(outputs) and hasattr(outputs[0], "_keras_history")


def _name(activation: Any) -> str:
    if activation is None:
        return ""
    name = getattr(activation, "__name__", type(activation).__name__)
    return name.lower().removesuffix("_v2")  # as TensorFlow calls its own


def _traced(model: Any, features: Sequence[Any]) -> str | None:
    """Return what the last operation of TensorFlow's graph says; None on another backend."""
    import keras  # noqa: PLC0415 - loaded by whoever made the model

    if keras.backend.backend() == "torch":
        return _of_torch(model, features)
    import tensorflow as tf  # noqa: PLC0415 - loaded with Keras

    given = [tf.convert_to_tensor(feature[:2]) for feature in features]
    whole = given[0] if len(given) == 1 else given
    try:
        graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(whole)
        step = graph.outputs[0].op
    except Exception:  # noqa: BLE001 - one that takes no graph: then the values tell
        return None
    while step.type in OPERATIONS and len(step.inputs):
        step = step.inputs[0].op
    return SAYING.get(step.type.lower())


def _of_torch(model: Any, features: Sequence[Any]) -> str | None:
    import torch  # noqa: PLC0415 - the backend of Keras

    from aiqc_core.train import torch_outputs  # noqa: PLC0415 - it loads torch

    given = [torch.as_tensor(feature[:2]) for feature in features]
    try:
        output = model(given[0] if len(given) == 1 else given, training=False)
    except Exception:  # noqa: BLE001 - the values tell
        return None
    return torch_outputs.last_activation(output) if isinstance(output, torch.Tensor) else None
