"""The console script: quick to start, one line for a user's mistake, exit codes 0, 1 (failure) and 2 (usage)."""

import os
import sys


def main() -> None:
    """Run `sleepsearch`."""
    # Idle OpenMP threads that spin stall everything else on small machines; must be set before any heavy import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from ui.commands import app

    try:
        app()  # usage errors leave from here with exit code 2
    except Exception as error:  # noqa: BLE001  the border: everything becomes a line and an exit code
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        return 0
    from retrieval import UserError

    if isinstance(error, (*UserError, OSError)):
        _say(" ".join(str(error).split()))
        return 1
    if os.environ.get("SLEEPSEARCH_TRACEBACK"):
        raise error
    _say(f"internal error, please report it: {type(error).__name__}: {error} (SLEEPSEARCH_TRACEBACK=1 shows where)")
    return 1


def _say(text: str) -> None:
    print(f"sleepsearch: {text}", file=sys.stderr)  # noqa: T201  the one place that prints errors


if __name__ == "__main__":
    main()
