"""Notify a webhook of failed runs, as chat systems and incident systems accept it."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from aiqc_dagster.settings import settings

URL_VARIABLE = "AIQC_NOTIFY_URL"
TIMEOUT_SECONDS = 10


class NotifierResource(dg.ConfigurableResource[None]):
    """Sends what happened as JSON by POST; without a url nothing is sent."""

    url: str = Field(
        default="",
        description=f"http(s) address that takes a JSON document; `{URL_VARIABLE}` if empty.",
    )

    def address(self) -> str:
        """Return where to send, or an empty text.

        Raises:
            ValueError: the address is not one of http or https.
        """
        url = self.url or settings.notify_url
        if url and urlsplit(url).scheme not in {"http", "https"}:
            scheme = urlsplit(url).scheme or "no scheme"  # the rest may hold a token: not shown
            raise ValueError(
                f"url of the notifier ({URL_VARIABLE}): {scheme} given; give an address of http "
                "or https."
            )
        return url

    def send(self, event: dict[str, Any]) -> bool:
        """Send an event; return whether there was an address to send it to.

        Raises:
            OSError: the address does not answer, or not with success.
        """
        url = self.address()
        if not url:
            return False
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            url,
            data=json.dumps(event).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310 - as above
            return True


def on_failure() -> dg.SensorDefinition:
    """Return the sensor that reports each failed run; a person turns it on."""

    @dg.run_failure_sensor(
        name="notify_failure",
        description=f"Sends each failed run as JSON to the notifier's url ({URL_VARIABLE}).",
        monitor_all_code_locations=False,
    )
    def notify_failure(context: dg.RunFailureSensorContext, notifier: NotifierResource) -> Any:
        run, event = context.dagster_run, context.failure_event
        report = {
            "event": "run_failed",
            "job": run.job_name,
            "run_id": run.run_id,
            "message": event.message,
            "experiment": run.tags.get("aiqc/experiment"),
            "snapshot": run.tags.get("aiqc/snapshot"),
            "failed_steps": [
                {"step": step.step_key, "reason": error.message.strip() if error else ""}
                for step in context.get_step_failure_events()
                for error in (step.step_failure_data.error,)
            ],
        }
        if not notifier.send(report):
            return dg.SkipReason(f"No url: set {URL_VARIABLE}.")
        return None

    return notify_failure
