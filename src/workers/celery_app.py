"""The worker door: `celery -A src.workers.celery_app worker`. How Celery is set up stands in `runtime/broker.py`."""

from src.bootstrap import broker_of
from src.runtime.broker import make_celery
from src.settings import LOCAL_REDIS, read_settings

_settings = read_settings()
celery_app = make_celery(broker_of(_settings, _settings.broker_url or LOCAL_REDIS))
celery_app.conf.include = ["src.workers.tasks", "src.workers.lifecycle"]
celery_app.set_current()
