"""Server events through Meta's business SDK for Python, with nothing changed but the host.

It prints what the SDK answered to each request, and how it words a refusal.
"""
import asyncio
import json
import os
import time

import requests
from facebook_business.adobjects.adspixel import AdsPixel
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.delivery_category import DeliveryCategory
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.event_request_async import EventRequestAsync
from facebook_business.adobjects.serverside.gender import Gender
from facebook_business.adobjects.serverside.http_service_interface import HttpServiceInterface
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

HOST, KEY, PIXEL = (os.environ[k] for k in ("HOST", "KEY", "PIXEL"))
NOW = int(time.time()) - 60

FacebookSession.GRAPH = HOST  # the host
FacebookAdsApi.init(access_token=KEY, app_secret="demo-secret", crash_log=False)


def somebody():
    """A person with every setter of UserData called."""
    return UserData(
        emails=["Petra.Python@Example.com", "petra@example.org"], phones=["+49 30 901820"], genders=[Gender.FEMALE], dates_of_birth=["19881105"],
        last_names=["Python"], first_names=["Petra"], cities=["berlin"], states=["be"], country_codes=["de"], zip_codes=["10115"],
        external_ids=["python-user-7", "python-user-8"], client_ip_address="198.51.100.8", client_user_agent="Mozilla/5.0 (X11)",
        fbc="fb.1.1788000000000.PythonClick", fbp="fb.1.1788000000000.2222222222", subscription_id="sub-2", fb_login_id="4002", lead_id="123456789012346",
        f5first="petra", f5last="pytho", fi="p", dobd="05", dobm="11", doby="1988", madid="madid-2", anon_id="anon-2", ctwa_clid="ctwa-2", page_id="page-2")


def event(name, event_id, user=None, **more):
    user = user or UserData(email="petra.python@example.com", client_user_agent="Mozilla/5.0")
    more = {"event_time": NOW, **more}
    return Event(event_name=name, event_id=event_id, action_source=ActionSource.WEBSITE, event_source_url="https://shop.example.com/thanks", user_data=user, **more)


def told(r):
    return {"events_received": r.events_received, "messages": r.messages, "fbtrace_id": r.fbtrace_id}


answers = {}
purchase = event(
    "Purchase", "python-purchase", somebody(), opt_out=False, referrer_url="https://search.example.com/",
    data_processing_options=["LDU"], data_processing_options_country=0, data_processing_options_state=0,
    custom_data=CustomData(
        value=142.5, currency="eur", net_revenue=100.0, content_name="Desks", content_category="Office", content_ids=["d-1"],
        contents=[Content(product_id="d-1", quantity=2, item_price=71.25, title="Desk", description="A desk", brand="Acme", category="Office", delivery_category=DeliveryCategory.HOME_DELIVERY)],
        content_type="product", order_id="python-order-1", predicted_ltv=900.0, num_items=2, status="paid", search_string="desk", item_number="n-1",
        delivery_category=DeliveryCategory.HOME_DELIVERY, custom_properties={"plan": "team"}))
answers["purchase"] = told(EventRequest(pixel_id=PIXEL, events=[purchase]).execute())
answers["batch"] = told(EventRequest(
    pixel_id=PIXEL, events=[event("SubmitApplication", "python-batch-" + x) for x in "abc"], partner_agent="python-interop",
    namespace_id="77", upload_tag="tag-1", upload_id="up-1", upload_source="crm").execute())
answers["test"] = told(EventRequest(pixel_id=PIXEL, events=[event("Contact", "python-test")], test_event_code="TEST12345").execute())


async def several():
    r = await asyncio.gather(*(EventRequestAsync(pixel_id=PIXEL, events=[event("Schedule", "python-async-%d" % n)]).execute() for n in (1, 2, 3)))
    return {"async%d" % (n + 1): told(one) for n, one in enumerate(r)}


answers.update(asyncio.run(several()))


class Client(HttpServiceInterface):
    """An HTTP client of one's own, as the SDK lets one be put in."""

    def execute(self, url, method, request_options, headers, params):
        return requests.request(method, url, headers=headers, json=params, timeout=60).json()


answers["client"] = EventRequest(pixel_id=PIXEL, events=[event("Schedule", "python-client")], http_client=Client(), access_token=KEY, appsecret="demo-secret").execute()
answers["pixel"] = AdsPixel(PIXEL).api_get(fields=["id", "name"]).export_all_data()  # what an SDK reads to test its settings

refused = {}


def refusal(name, request):
    try:
        request.execute()
    except FacebookRequestError as e:
        refused[name] = {
            "exception": type(e).__name__, "message": e.api_error_message(), "status": e.http_status(),
            "code": e.api_error_code(), "subcode": e.api_error_subcode(), "type": e.api_error_type()}


refusal("old", EventRequest(pixel_id=PIXEL, events=[event("Contact", "python-never"), event("Contact", "python-old", event_time=NOW - 9 * 86400)]))
FacebookAdsApi.init(access_token="trib_ingest_wrong", crash_log=False)
refusal("token", EventRequest(pixel_id=PIXEL, events=[event("Contact", "python-never")]))

print(json.dumps({"answers": answers, "refused": refused}))
