"""The sentence for each way in which code can end without an answer of its own."""

from src.sandbox.executor import Ended, ErrorInfo, Limits


def why(ended: Ended, limits: Limits, status: int | None) -> ErrorInfo:
    """`status` is that of the process: negative for the signal that ended it."""
    name, detail = {
        "timeout": ("Timeout", f"the code ran longer than its {limits.wall_seconds:g} s and was ended"),
        "memory": ("MemoryLimit", f"the code took more than its {limits.memory_mb:,} MiB and was ended"),
        "output_limit": ("OutputLimit", f"the code printed more than {limits.output_bytes:,} bytes and was ended"),
        "result_limit": ("ResultLimit", f"the changes to the context are larger than {limits.result_bytes:,} bytes"),
        "cancelled": ("Cancelled", "the run was taken away while the code ran"),
        "lost": ("SandboxLost", "the fork server of the sandbox went away while the code ran"),
    }.get(ended, ("Crashed", f"the process of the code ended with status {status} and without an answer"))
    return ErrorInfo(name, detail)
