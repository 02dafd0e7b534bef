"""The kinds of inputs."""

KINDS = {}


def kind(count):
    """Registers a function as a kind of inputs.

    Args:
        count: int. How many inputs are tried by default.

    Returns:
        Decorator of a function of `Toys` and a `np.random.Generator`. It writes to the
        working directory, which is empty, and returns an `Attempt`.
    """

    def register(function):
        KINDS[function.__name__] = function, count
        return function

    return register
