"""The terminal that this process writes to, which may be closed while it works."""

import errno
import os
import termios

OUTPUTS = (1, 2)


def leave_closed_terminal() -> None:
    """Send stdout and stderr nowhere where their terminal was closed: to write there is an error,
    which would end the work that SIGHUP asks to finish.
    """
    for output in OUTPUTS:
        try:
            termios.tcgetattr(output)
        except termios.error as error:
            if error.args[0] == errno.EIO:  # else it is no terminal
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
