"""A Celery application with Nova's settings and a task that only says when it ran: what the broker alone costs."""

import os
import time

from src.runtime.broker import Broker, make_celery

TASK = "bare"
QUEUE = "bare"
app = make_celery(Broker(os.environ.get("REDIS_URL", "redis://localhost:6379/0")))


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def tell(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{time.time():.6f}\n".encode())
    os.close(file)
