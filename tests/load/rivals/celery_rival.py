"""Celery on Redis: the same job as job.js, for a pool of processes. `celery_rival.py worker` works until its standard
input ends; for each line there `celery_rival.py enqueue` enqueues so many jobs more."""

import hashlib
import http.client
import itertools
import json
import os
import signal
import sys
import threading
import uuid
from datetime import datetime, timezone
from urllib.parse import urlsplit

import psycopg
from celery import Celery
from celery.signals import worker_process_init, worker_ready

CONFIG = json.loads(os.environ["RIVAL"])
MESSAGE, SINK = CONFIG["message"], urlsplit(CONFIG["sink"])
NAMESPACE = uuid.UUID(MESSAGE["broadcast_id"])
HEADERS = {"content-type": "application/json"}

app = Celery(broker=f"redis://127.0.0.1:{CONFIG['redis_port']}/0")
app.conf.update(
    task_default_queue=CONFIG["queue"], task_ignore_result=True,
    # Once it is done, not before: or a killed worker would lose what it had.
    task_acks_late=True, task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=16 if CONFIG["is_small"] else 1,
    worker_send_task_events=False, worker_redirect_stdouts=False)


def connect() -> psycopg.Connection:
    return psycopg.connect(CONFIG["database"], autocommit=True, cursor_factory=psycopg.RawCursor)


@worker_process_init.connect
def open_connections(**_) -> None:
    """Each process has one of each, kept alive."""
    global database, webhook
    database, webhook = connect(), http.client.HTTPConnection(SINK.netloc)


@app.task(name="send")
def send(n: int, contacts: list[str]) -> None:
    contacts = [uuid.UUID(contact) for contact in contacts]
    allowed = [row[0] for row in query(CONFIG["caps"], contacts=contacts)]
    for contact in allowed:
        call(contact)
    held = set(allowed)
    outcomes = ["delivered" if contact in held else "capped" for contact in contacts]
    query(CONFIG["receipts"], contacts=contacts, outcomes=outcomes, ns=[n] * len(contacts))


def query(statement: dict, **given) -> list[tuple]:
    """`values` names what differs from job to job."""
    values = [given[value[1:]] if value.startswith("$") else value for value in statement["values"]]
    cursor = database.execute(statement["text"], values, prepare=True)
    return cursor.fetchall() if cursor.description else []


def call(contact: uuid.UUID) -> None:
    # A uuid of version 5, the same in every attempt.
    digest = hashlib.sha1(NAMESPACE.bytes + contact.bytes).digest()
    message_id = str(uuid.UUID(bytes=digest[:16], version=5))
    sent_at = datetime.now(timezone.utc).isoformat()
    body = {"id": message_id, **MESSAGE, "contact_id": str(contact), "sent_at": sent_at}
    webhook.request("POST", SINK.path, json.dumps(body), HEADERS | {"webhook-id": message_id})
    answer = webhook.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the webhook answered {answer.status}")


def work() -> None:
    worker_ready.connect(lambda **_: print("ready", flush=True), weak=False)

    def end_with_input() -> None:
        os.read(0, 1)  # not through sys.stdin, whose lock the forked processes would wait for
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_input, daemon=True).start()
    app.Worker(pool="prefork", concurrency=CONFIG["jobs"], loglevel="ERROR", quiet=True,
               without_gossip=True, without_mingle=True, without_heartbeat=True).start()


def enqueue() -> None:
    audience = "select n, contact_ids::text[] from chunk where broadcast_id = $1 order by n"
    with connect() as connection:
        jobs = iter(connection.execute(audience, [MESSAGE["broadcast_id"]]).fetchall())
    with app.producer_or_acquire() as producer:
        print("ready", flush=True)
        for line in sys.stdin:
            for job in itertools.islice(jobs, int(line)):
                send.apply_async(job, producer=producer)


if __name__ == "__main__":
    work() if sys.argv[1] == "worker" else enqueue()
