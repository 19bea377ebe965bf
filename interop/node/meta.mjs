// Server events through Meta's business SDK for Node, with nothing changed but the host. It
// prints what the SDK answered to each request, and how it words a refusal.
import bizSdk from 'facebook-nodejs-business-sdk';

const {FacebookAdsApi, AdsPixel, EventRequest, ServerEvent, UserData, CustomData, Content, DeliveryCategory, HttpServiceInterface} = bizSdk;
const {HOST, KEY, PIXEL} = process.env;
const now = Math.floor(Date.now() / 1000) - 60;

Object.defineProperty(FacebookAdsApi, 'GRAPH', {get: () => HOST}); // the host

// somebody has every setter of UserData called.
const somebody = () => new UserData()
  .setEmails(['Nora.Node@Example.com', 'nora@example.org']).setPhones(['+1 (415) 555-0134']).setGenders(['f']).setDatesOfBirth(['19881105'])
  .setLastNames(['Node']).setFirstNames(['Nora']).setCities(['Salt Lake City']).setZips(['84101']).setStates(['ut']).setCountries(['us'])
  .setExternalIds(['node-user-7', 'node-user-8']).setClientIpAddress('198.51.100.7').setClientUserAgent('Mozilla/5.0 (X11)')
  .setFbc('fb.1.1788000000000.NodeClick').setFbp('fb.1.1788000000000.1111111111').setSubscriptionId('sub-1').setFbLoginId('4001').setLeadId('123456789012345')
  .setFi('n').setDobd('05').setDobm('11').setDoby('1988').setMadid('madid-1').setAnonId('anon-1').setCtwaClid('ctwa-1').setPageId('page-1');

const event = (name, id, user) => new ServerEvent().setEventName(name).setEventTime(now).setEventId(id).setActionSource('website')
  .setEventSourceUrl('https://shop.example.com/thanks').setUserData(user ?? new UserData().setEmail('nora.node@example.com').setClientUserAgent('Mozilla/5.0'));

const purchase = event('Purchase', 'node-purchase', somebody()).setOptOut(false)
  .setDataProcessingOptions(['LDU']).setDataProcessingOptionsCountry(1).setDataProcessingOptionsState(1000)
  .setCustomData(new CustomData().setValue(142.5).setCurrency('usd').setNetRevenue(100).setContentName('Desks').setContentCategory('Office').setContentIds(['d-1'])
    .setContents([new Content().setId('d-1').setQuantity(2).setItemPrice(71.25).setTitle('Desk').setDescription('A desk').setBrand('Acme').setCategory('Office')
      .setDeliveryCategory(DeliveryCategory.HOME_DELIVERY)])
    .setContentType('product').setOrderId('node-order-1').setPredictedLtv(900).setNumItems(2).setSearchString('desk').setItemNumber('n-1')
    .setDeliveryCategory(DeliveryCategory.HOME_DELIVERY).setStatus('paid').setCustomProperties({plan: 'team'}));

const answers = {};
const told = async (name, request) => {
  const r = await request.execute();
  answers[name] = {events_received: r.events_received, messages: r.messages, fbtrace_id: r.fbtrace_id};
};

await told('purchase', new EventRequest(KEY, PIXEL).setEvents([purchase]));
await told('batch', new EventRequest(KEY, PIXEL).setEvents(['a', 'b', 'c'].map(x => event('SubmitApplication', 'node-batch-' + x))).setPartnerAgent('node-interop')
  .setNamespaceId('77').setUploadTag('tag-1').setUploadId('up-1').setUploadSource('crm'));
await told('test', new EventRequest(KEY, PIXEL).setEvents([event('Contact', 'node-test')]).setTestEventCode('TEST12345'));
await Promise.all([1, 2, 3].map(n => told('async' + n, new EventRequest(KEY, PIXEL).setEvents([event('Schedule', 'node-async-' + n)]))));

// An HTTP client of one's own, as the SDK lets one be put in.
class Fetching extends HttpServiceInterface {
  async executeRequest(url, method, headers, params) {
    const r = await fetch(url, {method, headers, body: JSON.stringify(params)});
    return {...await r.json(), status: r.status};
  }
}
answers.client = await new EventRequest(KEY, PIXEL).setEvents([event('Schedule', 'node-client')]).setHttpService(new Fetching()).execute();

// What an SDK reads to test its settings.
FacebookAdsApi.init(KEY);
answers.pixel = (await new AdsPixel(PIXEL).get(['id', 'name']))._data;

const refused = {};
const refusal = async (name, request) => {
  try {
    await request.execute();
  } catch (e) {
    refused[name] = {exception: e.name, message: e.message, status: e.status, code: e.response?.code, subcode: e.response?.error_subcode, type: e.response?.type};
  }
};
await refusal('token', new EventRequest('trib_ingest_wrong', PIXEL).setEvents([event('Contact', 'node-never')]));
await refusal('old', new EventRequest(KEY, PIXEL).setEvents([event('Contact', 'node-never'), event('Contact', 'node-old').setEventTime(now - 9 * 86400)]));

console.log(JSON.stringify({answers, refused}));
