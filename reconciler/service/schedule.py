"""`reconcile serve`: a pass every interval, never two at once, until it is told to stop."""

import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from types import FrameType

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler

from reconciler.model.errors import ReconcileError
from reconciler.model.money import plain
from reconciler.passes.run import Pass, Request
from reconciler.report.log import configure
from reconciler.service.bells import Bells
from reconciler.settings.load import Settings

STOP_SECONDS = 8.0
"""How long a pass may take to end after SIGTERM; then it is cut off, which is as safe as a crash."""

log = structlog.get_logger("reconciler")


def serve(settings: Settings) -> None:
    """Run passes until SIGTERM or SIGINT; a database or a Lago that is away is waited for."""
    configure(verbose=True)
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)

    work = Pass(settings)
    # It would warn, in its own format, of each run that waits because the one before is not done.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_listener(_broken, EVENT_JOB_ERROR)
    scheduler.add_job(
        _pass,
        "interval",
        args=[work, Bells()],
        seconds=settings.interval.total_seconds(),
        next_run_time=datetime.now(UTC),
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
    )
    scheduler.start()
    log.info("started", interval_seconds=settings.interval.total_seconds(), meters=len(settings.meters))
    stop.wait()
    log.info("stopping")
    work.stop()
    ended = threading.Thread(target=scheduler.shutdown, daemon=True)
    ended.start()
    ended.join(STOP_SECONDS)
    log.info("stopped", cut_off=ended.is_alive())
    sys.stderr.flush()
    if ended.is_alive():
        os._exit(0)


def _broken(event: JobExecutionEvent) -> None:
    """A fault of this program's: the service goes on, the next pass tries again."""
    log.critical("pass broke", reason=repr(event.exception), traceback=event.traceback)


def _pass(work: Pass, bells: Bells) -> None:
    try:
        summaries = work.run(Request())
    except ReconcileError as error:
        log.error("pass failed", reason=str(error))  # noqa: TRY400 - an error for people has no traceback
        return
    for summary in summaries:
        bound = log.bind(meter=summary.meter, run_id=summary.run_id)
        for sentence in summary.warnings:
            if sentence not in summary.said_before:
                bound.warning("not known", reason=sentence)
        if not summary.skipped and (summary.error is None or summary.alarms):
            bells.hear(summary)
        if summary.error is not None:
            bound.error("pass failed", reason=str(summary.error))
        elif summary.skipped:
            bound.info("pass skipped", reason="another pass is running")
        else:
            bound.info(
                "pass done",
                rows=summary.tally.rows,
                planned=summary.tally.events_planned,
                accepted=summary.delivered.accepted,
                cost=plain(summary.tally.cost_planned),
                watermark=f"{summary.watermark:%Y-%m-%dT%H:%M:%SZ}",
                alarms=",".join(alarm["kind"] for alarm in summary.alarms if not alarm["acknowledged"]),
            )
