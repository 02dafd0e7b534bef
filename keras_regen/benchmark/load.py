"""What else keeps the machine busy."""

# Of `psutil.cpu_times()`: waiting is no work, and guests are counted under user.
IDLE = ("idle", "iowait", "guest", "guest_nice")


class MachineBusyError(OSError):
    """Something else kept the machine too busy to time anything."""


def import_psutil():
    """psutil, or an ImportError that says what to install."""
    try:
        import psutil
    except ImportError as error:
        raise ImportError(
            "Benchmarks need psutil: pip install keras-regen[benchmark]"
        ) from error
    return psutil


class OtherLoad:
    """Reads how long the CPUs have worked for others than this process.

    Called, it returns seconds of CPU time: those of the whole machine, time that a
    hypervisor gave to another included, less those of this process and its threads.
    Only differences mean anything; they are exact to two ticks of 10 ms or so.

    Raises:
        ImportError: without psutil.
    """

    def __init__(self):
        self._psutil = import_psutil()
        self._process = self._psutil.Process()

    def __call__(self):
        times = self._psutil.cpu_times()._asdict()
        busy = sum(value for name, value in times.items() if name not in IDLE)
        own = self._process.cpu_times()
        return busy - own.user - own.system
