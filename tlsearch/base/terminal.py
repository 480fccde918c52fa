"""The terminal that this process writes to, which may be closed while the process runs."""

import errno
import os
import termios

OUTPUTS = (1, 2)


def leave_closed_terminal() -> None:
    """Redirect stdout and stderr to /dev/null if their terminal was closed.

    A write to a closed terminal raises an error, which would end the work that the process still
    has to finish after SIGHUP.
    """
    for output in OUTPUTS:
        try:
            termios.tcgetattr(output)
        except termios.error as error:
            if error.args[0] == errno.EIO:  # other errors: not a terminal
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
