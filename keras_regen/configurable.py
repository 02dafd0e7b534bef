"""Objects whose configuration is the signature of their `__init__`."""

import inspect
from typing import Any, Self

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def signature_config(instance: Any) -> dict[str, Any]:
    """Reads the arguments of an object's `__init__` from its attributes.

    Args:
        instance: Any that keeps every argument as an attribute of the same name.

    Returns:
        Dict of every argument but `*args` and `**kwargs`, in the signature's order.
    """
    parameters = inspect.signature(instance.__init__).parameters.values()
    return {
        parameter.name: getattr(instance, parameter.name)
        for parameter in parameters
        if parameter.kind not in VARIADIC
    }


class Configurable:
    """Base of objects that Keras saves and builds again from their arguments."""

    def get_config(self) -> dict[str, Any]:
        return signature_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)
