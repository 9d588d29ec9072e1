"""Tell somebody when a flow fails: `python -m flows.notify ADDRESS`, once, or again with another address."""

from __future__ import annotations

import sys
from typing import cast

from prefect.automations import Automation
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture

NAME = "edpipe-failures"
FAILURES = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}
OF_EDPIPE = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.edpipe"}
SUBJECT = "edpipe: {{ flow.name }} {{ flow_run.state.name | lower }}"
BODY = (
    "{{ flow.name }}, run {{ flow_run.name }}: {{ flow_run.state.message }}\n"
    "What to do: `edpipe status`, `edpipe runs --failed`. {{ flow_run | ui_url }}"
)


def block_of(address: str) -> NotificationBlock:
    """Return what sends: JSON to a web address, anything else as Apprise does, which knows mail."""
    if address.startswith(("http://", "https://")):
        said = {"title": "{{subject}}", "message": "{{body}}"}
        return CustomWebhookNotificationBlock(name=NAME, url=address, json_data=said)
    # Prefect has no block of its own for mail; that of Slack hands on every other address of Apprise.
    return SlackWebhook(url=address, notify_type="failure")


def notify(address: str) -> None:
    """Let the server send a message to an address whenever a flow has failed for good, retries included.

    `https://…` is sent JSON with `title` and `message`; `mailtos://USER:PASSWORD@HOST?to=NAME@HOST` mail.
    """
    block_id = block_of(address).save(NAME, overwrite=True)
    wanted = Automation(
        name=NAME,
        trigger=EventTrigger(
            expect=FAILURES,
            match_related=OF_EDPIPE,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=block_id, subject=SUBJECT, body=BODY)],
    )
    try:
        wanted.id = cast("Automation", Automation.read(name=NAME)).id
    except ValueError:
        wanted.create()
    else:
        wanted.update()


if __name__ == "__main__":
    notify(sys.argv[1])
