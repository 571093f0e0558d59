"""What a SLURM job runs: a command line that saves and ends when the job is to leave its node.

Imported by submitit's own process on the node, so it needs nothing but Python and submitit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any


class SlurmJob:
    """A command line as submitit runs it, and requeues it after a preemption or at its time limit.

    Attributes:
        command: The command line.
        log: The file that gets what it says.
    """

    def __init__(self, command: Sequence[str], log: str) -> None:
        """Keeps what to run.

        Args:
            command: The command line.
            log: The file that gets what it says.
        """
        self.command, self.log = list(command), log
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Runs the command line to its end.

        Returns:
            Its exit code.
        """
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
            self._wait()
            return self._process.wait()

    def _wait(self) -> None:
        # `Popen.wait` holds a lock, on which the same call in a signal handler would wait forever.
        assert self._process is not None
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)

    def checkpoint(self) -> Any:
        """Ends the command line, which saves; submitit calls this from its handler of SIGUSR2.

        Returns:
            What to run when SLURM starts the job again: the same.
        """
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            # SLURM signals all processes of a job, so it may know; a second time does no harm.
            self._process.send_signal(signal.SIGUSR2)
            self._wait()
        return DelayedSubmission(SlurmJob(self.command, self.log))
