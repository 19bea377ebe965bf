"""Segment's Python SDK, as docs/segment.md sets it up. MODE says what it is to do: send makes all
six calls, packed and in batches, and waits for them; wrong is a key of nobody's."""

import json
import os
from datetime import datetime, timezone

import segment.analytics as analytics

analytics.write_key = os.environ["WRITE_KEY"]
analytics.host = os.environ["TRIBUTARY"]

cookie = "0192f0c4-7777-4222-8333-444455556666"
failures = []
analytics.on_error = lambda error, items: failures.append(str(error))
analytics.gzip = os.environ["MODE"] == "send"
analytics.upload_size = 3
analytics.max_retries = 20 if os.environ["MODE"] == "send" else 2

if os.environ["MODE"] == "send":
    page = {"url": "https://beta.example/pricing?utm_source=google&utm_campaign=brand&gclid=G1", "referrer": "https://www.google.com/"}
    analytics.page(anonymous_id=cookie, name="Pricing", properties=page)
    analytics.identify("py-1", {"email": "bo@beta.example", "name": "Bo Chen"}, anonymous_id=cookie)
    analytics.group("py-1", "g-2", {"name": "Beta", "domain": "beta.example", "tier": "silver"})
    analytics.screen("py-1", name="Home")
    analytics.track("py-1", "Lead Generated", {"plan": "pro"})
    analytics.track(
        "py-1", "Order Completed", {"revenue": 20, "currency": "EUR", "order_id": "o-2"},
        message_id="py-order-1", timestamp=datetime.now(timezone.utc), integrations={"All": False, "Meta": True},
    )
    analytics.alias("py-1", "py-2")
    analytics.track("py-2", "Song Played", {"name": "Fallin"})
else:
    analytics.track("nobody", "Song Played")
analytics.flush()
print(json.dumps({"failures": failures}))
