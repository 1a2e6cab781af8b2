"""Conclude from the last steps of a model's graph, of any framework, what its outputs mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.train.outputs import LOGITS, LOGS, PROBABILITIES, SHARES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACTIVATIONS = {
    "softmax": PROBABILITIES, "sigmoid": PROBABILITIES, "hard_sigmoid": PROBABILITIES,
    "hardsigmoid": PROBABILITIES, "log_softmax": LOGS, "logsoftmax": LOGS, "log_sigmoid": LOGS,
    "logsigmoid": LOGS,
}  # fmt: skip
# Layers without an activation.
LINEAR = {
    "addmm", "biasadd", "conv1d", "conv2d", "conv3d", "convolution", "dense", "einsumdense",
    "linear", "mkldnnlinear",
}  # fmt: skip
# What moves numbers and leaves each as it is, but for its type and its limits.
MOVING = {
    "activation", "activityregularization", "alias", "broadcast", "broadcastto", "cast", "cat",
    "clamp", "clampmax", "clampmin", "clip", "clipbyvalue", "clone", "concatenate", "concatv2",
    "dropout", "ensureshape", "expand", "expanddims", "flatten", "flip", "gather", "gatherv2",
    "getitem", "identity", "index", "indexselect", "maximum", "minimum", "movedim", "nantonum",
    "pack", "permute", "repeat", "reshape", "reshapealias", "reversev2", "roll", "select",
    "selectv2", "slice", "split", "splitv", "splitwithsizes", "squeeze", "stack",
    "stopgradient", "stridedslice", "t", "take", "tile", "tocopy", "todense", "tosparse",
    "transpose", "unbind", "unpack", "unsafesplit", "unsafeview", "unsqueeze", "view", "where",
}  # fmt: skip
# What may leave probabilities such: a mean of several, a rounded one, one taken from 1.
CHANGING = {
    "add", "addv2", "average", "div", "divide", "mean", "mul", "multiply", "neg", "realdiv",
    "rescaling", "round", "rsub", "sub", "subtract", "truedivide",
}  # fmt: skip
LOGARITHMS = {"exp": -1, "log": 1}
CONVERTED = {(PROBABILITIES, 1): LOGS, (LOGS, -1): PROBABILITIES}


def meaning_of(last: Any, of: Callable[[Any], tuple[str, Sequence[Any]]]) -> str | None:
    """Return what the steps behind an output say that it means.

    Args:
        last: the step that made the output.
        of: gives the name of a step in lower case and the steps before it, constants left out.

    Returns:
        `'probabilities'` of softmax and sigmoid, `'log-probabilities'` of their logarithms,
        `'changed probabilities'` where numbers were added or multiplied after them, `'logits'` of
        a layer without activation, None of others.
    """
    waiting, seen, found = [(last, 0, False)], dict[Any, Any](), set[str]()
    while waiting:
        step, logs, changed = waiting.pop()
        if (id(step), logs, changed) in seen:
            continue
        seen[id(step), logs, changed] = step  # held, so that no other gets its id
        name, before = of(step)
        if before and (name in MOVING or name in CHANGING or name in LOGARITHMS):
            logs += LOGARITHMS.get(name, 0)
            waiting += [(each, logs, changed or name in CHANGING) for each in before]
            continue
        kind = ACTIVATIONS.get(name, LOGITS if name in LINEAR else None)
        kind = CONVERTED.get((kind or "", logs)) if logs else kind
        if kind is None or (changed and kind != PROBABILITIES):
            return None
        found.add(SHARES if changed else kind)
    return found.pop() if len(found) == 1 else None
