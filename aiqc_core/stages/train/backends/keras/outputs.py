"""Check the outputs of a Keras model, and find its last activation."""
# pyright: reportAttributeAccessIssue=false
# (pyright takes `import keras` for the file keras.py beside this one)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends import last_step
from aiqc_core.stages.train.backends.arrays import as_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class _UnknownStep(Exception):  # noqa: N818 - a layer of the user's, or one without a graph
    pass


def checked(model: Any, output: Any, batch: Any) -> NDArray[Any]:
    """Return a model's output as an array; raise TrainingError unless it has a row a sample."""
    name = type(model).__name__
    if output is None or isinstance(output, dict | list | tuple):
        given = "None" if output is None else f"a {type(output).__name__} of {len(output)}"
        raise TrainingError(
            f"the model ({name}) gives {given}. Let it have one output: a tensor (samples, …). "
            "Several can be joined by keras.layers.Concatenate; return_state=True of a layer "
            "gives its state beside its output."
        )
    array = as_array(output)
    samples = len(batch[0] if isinstance(batch, list) else batch)
    if array.ndim == 0 or len(array) != samples:
        shape = "a single number" if array.ndim == 0 else f"outputs {array.shape}"
        raise TrainingError(
            f"the model ({name}) gives {shape} for {samples} samples. Let it give a row a sample, "
            "(samples, …); a mean over all samples is for the loss."
        )
    return array


def last_activation(model: Any, features: Sequence[Any]) -> str | None:
    """Return what the last steps of a model say of its outputs; see `last_step.meaning_of`.

    Layers are asked first, then, as for a class with a `call` of its own, the graph of operations.
    """
    try:
        return last_step.meaning_of(_output(model), _step)
    except _UnknownStep:
        import tensorflow as tf  # noqa: PLC0415 - loaded with Keras

    given = [tf.convert_to_tensor(feature[:2]) for feature in features]
    whole = given[0] if len(given) == 1 else given
    try:
        graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(whole)
        return last_step.meaning_of(graph.outputs[0].op, _operation)
    except Exception:  # noqa: BLE001 - one that takes no graph: then the values decide
        return None


def _output(model: Any) -> Any:
    """Return the output of a model whose layers are known by their order."""
    outputs = getattr(model, "outputs", None)
    if not outputs or not hasattr(outputs[0], "_keras_history"):
        raise _UnknownStep
    return outputs[0]


def _step(tensor: Any) -> tuple[str, Sequence[Any]]:
    """Return what made a tensor, a layer by its activation, and the tensors before it."""
    operation, index, _ = tensor._keras_history  # noqa: SLF001 - the graph of a model
    inputs = operation._inbound_nodes[index].input_tensors  # noqa: SLF001
    before = [each for each in inputs if "float" in each.dtype]
    if hasattr(operation, "layers"):
        return "identity", [_output(operation)]
    if type(operation).__name__ == "TimeDistributed":
        operation = operation.layer
    kind, activation = type(operation).__name__, getattr(operation, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    if activation is not None and name != "linear":
        kind, operation = name, activation
    module = getattr(operation, "__module__", "")
    if not module.startswith("keras.") or kind in {"Lambda", "InputLayer", "function"}:
        raise _UnknownStep
    return kind.lower(), before


def _operation(step: Any) -> tuple[str, list[Any]]:
    """Return the kind of an operation of TensorFlow's graph, and those before it."""
    constant = {"Const", "ReadVariableOp"}
    inputs = [i.op for i in step.inputs if i.dtype.is_floating and i.op.type not in constant]
    return step.type.lower(), inputs
