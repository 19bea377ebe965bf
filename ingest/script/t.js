// t.js: what Tributary runs in a page. docs/pixel.md says how it is put there. It is served
// without comments and with short names, and must stay below 4,096 bytes in gzip.
//
// It throws nothing: what the browser does not give (cookies, storage, crypto.subtle) it does
// without. What it has not seen acknowledged it keeps and sends again, under the same event id,
// so that an event counts once however often it arrives.
(function (win, doc, nav) {
  "use strict";

  // canonical.IsClick: a test compares.
  const CLICK_IDS = ["fbclid", "li_fat_id", "gclid", "gbraid", "wbraid", "msclkid", "ttclid"];
  const COOKIES = { fbp: "_fbp", fbc: "_fbc", hubspotutk: "hubspotutk" }; // of others, read only
  const NAME = "_trb";              // our cookie, and what our names in storage begin with
  const DAY = 864e5;
  const CLICK_LIFE = 90 * DAY;      // of a click id: the longest window of the vendors
  const OUTBOX_LIFE = 3 * DAY;      // of an event that could not be sent
  const OUTBOX = 60;                // events kept, the newest
  const FIRST_WAIT = 2000, LAST_WAIT = 6e5;

  const now = () => Date.now();
  const quietly = (f, otherwise) => { try { return f(); } catch (e) { return otherwise; } };

  // Settings: data-… of the script's tag, or window.tributaryOptions where a tag manager drops those.
  const stub = win.tributary;
  if (stub && stub.loaded) return; // put into the page twice
  const tag = doc.currentScript || doc.querySelector('script[src*="/t.js"]');
  const option = Object.assign({}, tag && tag.dataset, win.tributaryOptions);
  const server = quietly(() => new URL(option.server || tag.src).origin, "");
  const respected = option.respect || "";
  const off = !server || !option.key ||
    /gpc/.test(respected) && nav.globalPrivacyControl ||
    /dnt/.test(respected) && (nav.doNotTrack || win.doNotTrack) == "1";

  let consent = null;                   // what was said last: {ad_storage, ad_user_data}
  let waits = option.consent == "wait"; // until it was granted
  let held = [];                        // meanwhile
  let mine = [];                        // what this page has in the outbox
  let anonymous, traits = {}, shown, lastPage, timer;
  const memory = {};                    // where nothing may be stored, or can be

  const mayStore = () => !off && !waits && !(consent && consent.ad_storage === false);

  // Storage: localStorage, else sessionStorage, else this page's memory.
  const stores = ["localStorage", "sessionStorage"];
  function load(name, empty) {
    for (const s of mayStore() ? stores : []) {
      const v = quietly(() => JSON.parse(win[s].getItem(NAME + name)));
      if (v) return v;
    }
    return memory[name] || empty;
  }
  function save(name, value) {
    memory[name] = value;
    const text = JSON.stringify(value);
    let kept;
    for (const s of mayStore() ? stores : []) {
      if (!kept && quietly(() => { win[s].setItem(NAME + name, text); return 1; })) kept = 1;
      else quietly(() => win[s].removeItem(NAME + name)); // of one that is full too: the older would hide the new one
    }
  }

  function cookie(name) {
    const m = quietly(() => doc.cookie.match("(?:^|; )" + name + "=([^;]*)"));
    return m ? quietly(() => decodeURIComponent(m[1]), m[1]) : "";
  }

  // writeCookie takes the widest domain that the browser allows, so that www. and app. share it.
  function writeCookie(value, age) {
    const parts = location.hostname.split(".");
    const secure = location.protocol == "https:" ? "; Secure" : "";
    for (let i = parts.length - 1; i >= -1; i--) {
      const domain = i < 0 ? "" : option.domain || parts.slice(i).join(".");
      quietly(() => {
        doc.cookie = NAME + "=" + value + "; Path=/; SameSite=Lax; Max-Age=" + age + secure + (domain ? "; Domain=" + domain : "");
      });
      if (age && cookie(NAME) == value) return;
    }
  }

  function random() {
    const b = quietly(() => win.crypto.getRandomValues(new Uint8Array(16))) || Array.from({ length: 16 }, () => Math.random() * 256 | 0);
    return Array.from(b, (n) => (n + 256).toString(16).slice(1)).join("");
  }

  // visitor gives the first-party id: of the cookie, else of storage, else of this page.
  function visitor() {
    if (!mayStore()) return memory.v || (memory.v = random());
    if (!anonymous) {
      anonymous = cookie(NAME) || load("v") || random();
      save("v", anonymous);
      // 13 months; browsers may shorten it. One that the router has set lives longer than ours would.
      if (option.cookie != "server" || !cookie(NAME)) writeCookie(anonymous, 34e6);
    }
    return anonymous;
  }

  // clicks gives the click ids of this visitor with the time of each click: those of the address
  // are new unless they are known already.
  function clicks() {
    const known = load("c", {}), query = new URLSearchParams(location.search);
    for (const name of CLICK_IDS) {
      const id = query.get(name) || !known[name] && name == "li_fat_id" && cookie(name);
      if (id && id.length < 1024 && !(known[name] && known[name].id == id)) known[name] = { id, at: now() };
      if (known[name] && known[name].at < now() - CLICK_LIFE) delete known[name];
    }
    save("c", known);
    return known;
  }

  // address gives an address without what looks like somebody's e-mail in it: forms that are sent by
  // GET put one there.
  const address = (url) => url.replace(/[^/?&#=]+(@|%(25)*40)[^/?&#=]+/gi, "_").slice(0, 4096);

  // collect makes an event and has it sent, or held until consent is there. It gives the event's id.
  function collect(name, more) {
    if (off) return;
    const event = Object.assign({ event: name, event_id: random(), occurred_at: now(), url: address(location.href) }, more);
    if (!event.referrer && doc.referrer) event.referrer = address(doc.referrer);
    if (nav.webdriver) event.webdriver = true;
    if (waits) {
      clicks(); // the time of the click, in memory
      held.push(event);
      held = held.slice(-OUTBOX);
    } else send(event);
    return event.event_id;
  }

  // send completes an event with who the visitor is, keeps it, and has it go.
  function send(event) {
    const who = { anonymous_id: visitor() };
    if (consent) who.consent = consent;
    if (mayStore()) {
      who.clicks = clicks();
      for (const k in COOKIES) who[k] = cookie(COOKIES[k]) || undefined;
    }
    mine.push({ e: Object.assign(who, traits, event), n: 0, at: 0 });
    mine = mine.slice(-OUTBOX);
    flush();
  }

  // outbox is what is stored, and of this page what another tab wrote over.
  function outbox() {
    const box = load("q", []), there = box.map((x) => x.e.event_id);
    return box.concat(mine.filter((x) => there.indexOf(x.e.event_id) < 0)).slice(-OUTBOX);
  }

  // flush sends what is due. An entry waits longer after every attempt, and leaves the outbox
  // when the router has answered for good.
  function flush() {
    const t = now();
    const box = outbox().filter((x) => x.e.occurred_at > t - OUTBOX_LIFE);
    const due = box.filter((x) => x.at <= t).slice(0, 20);
    for (const x of due) x.at = t + Math.min(FIRST_WAIT * 2 ** x.n++, LAST_WAIT);
    save("q", box);
    clearTimeout(timer);
    if (box.length) timer = setTimeout(flush, Math.max(50, Math.min(...box.map((x) => x.at)) - t));
    if (due.length) post(due);
  }

  // post sends entries by a fetch that outlives the page, whose answer is told, and by a beacon,
  // whose answer is not, where there is no such fetch or the page is being left.
  const outlives = quietly(() => "keepalive" in Request.prototype);
  function post(due, leaving) {
    const body = JSON.stringify({ events: due.map((x) => Object.assign(x.e, { sent_at: now() })) });
    const url = server + "/v1/ingest/pixel?key=" + encodeURIComponent(option.key);
    const beacon = () => quietly(() => nav.sendBeacon(url, body));
    if (leaving) return beacon();
    const credentials = option.cookie == "server" ? "include" : "same-origin";
    const type = { "Content-Type": "text/plain" }; // asks no leave beforehand
    const gone = quietly(() => fetch(url, { method: "POST", body, keepalive: body.length < 6e4, credentials, headers: type, referrerPolicy: "origin" }));
    const taken = () => {
      const done = due.map((x) => x.e.event_id), left = (x) => done.indexOf(x.e.event_id) < 0;
      mine = mine.filter(left);
      save("q", outbox().filter(left));
      flush();
    };
    if (!gone) return beacon() && taken(); // the browser has it, more is not to be known
    gone.then((answer) => {
      if (!mayStore()) writeCookie("", 0); // the router may have set it again, on what was sent before a no
      // Refused for good is as final as taken; busy, down or signed off is not. One that is too large
      // takes no other with it.
      if (answer.status == 413 && due[1]) due.forEach((x) => post([x]));
      else if (answer.status < 500 && answer.status != 429 && answer.status != 408) taken();
    }, () => {});
  }

  // leave sends once more what has failed, or would end with the page.
  function leave() {
    const left = outbox().filter((x) => x.n > (outlives ? 1 : 0)).slice(0, 20);
    if (left.length) post(left, true);
  }

  // Page views: one for each address shown, however the page got there.
  function page(more) {
    const here = location.pathname + location.search;
    shown = here;
    const from = lastPage;
    lastPage = address(location.href);
    return collect("page_view", Object.assign(from ? { referrer: from } : {}, { title: doc.title.slice(0, 256) }, more));
  }
  function moved() {
    setTimeout(() => { if (location.pathname + location.search != shown) page(); }, 0);
  }
  function watch() {
    for (const name of ["pushState", "replaceState"]) {
      const was = history[name];
      history[name] = function () {
        const r = was.apply(this, arguments);
        moved();
        return r;
      };
    }
    win.addEventListener("popstate", moved);
    win.addEventListener("pageshow", (e) => { if (e.persisted) page(); }); // back, from the browser's memory
    page();
  }

  // E-mail addresses leave the page hashed or not at all: canonical.NormalEmail, then SHA-256.
  function normal(email) {
    const s = email.normalize("NFC").replace(/[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/g, "");
    const low = Array.from(s, (c) => c == "\u0130" ? "i" : c.toLowerCase()).join("");
    return /^[^@]+@[^@.]+(\.[^@.]+)+$/.test(low) ? low : "";
  }
  const hashes = {};
  function hashed(email) {
    const s = normal(email);
    if (!s) return Promise.resolve("");
    return hashes[s] || (hashes[s] = new Promise((done) => {
      win.crypto.subtle.digest("SHA-256", new TextEncoder().encode(s)).then((b) => {
        done(hashes[s].is = Array.from(new Uint8Array(b), (n) => (n + 256).toString(16).slice(1)).join(""));
      }, () => done(""));
    }).catch(() => ""));
  }

  // withHash replaces an address in the clear by its hash and goes on. Where the browser has no
  // crypto.subtle (plain http), the event goes without it and says so.
  function withHash(o, go) {
    const email = o.email, rest = Object.assign({}, o);
    delete rest.email;
    if (!email) return go(rest);
    const found = (hash) => {
      if (hash) rest.email_sha256 = hash;
      else rest.email_omitted = normal(email) ? "insecure_context" : "no_address";
      go(rest);
    };
    const known = hashes[normal(email)];
    if (known && known.is) found(known.is); // already, while it was typed: before the page is left
    else hashed(email).then(found);
  }

  // Forms, where the page says so: <form data-tributary="demo">, or all with data-forms="all".
  const wanted = (form) => !off && form && form.getAttribute && (form.hasAttribute("data-tributary") || option.forms == "all" && form.getAttribute("data-tributary") != "off");
  const addressOf = (form) => {
    const f = form.querySelector('[data-tributary-email],input[type=email],input[name*=email i],input[name*=e-mail i]');
    return f ? f.value : "";
  };
  doc.addEventListener("change", (e) => quietly(() => { if (wanted(e.target.form) && addressOf(e.target.form)) hashed(addressOf(e.target.form)); }), true);
  doc.addEventListener("submit", (e) => quietly(() => {
    const form = e.target;
    if (!wanted(form)) return;
    api.track("form_submitted", { form: form.getAttribute("data-tributary") || form.id || form.getAttribute("name") || location.pathname, email: addressOf(form) });
  }), true);

  // What a page may call. Each gives nothing that needs waiting for.
  const api = {
    loaded: true,
    track(name, fields) {
      const id = fields && fields.event_id || random();
      withHash(Object.assign({}, fields, { event_id: id, occurred_at: now() }), (f) => collect(name, f));
      return id;
    },
    page: (fields) => page(fields),
    // identify says who the visitor is: {user_id, email, …}. Later events of the page say it too.
    identify(who) {
      withHash(typeof who == "object" ? who : { user_id: who }, (f) => {
        for (const k of ["user_id", "email_sha256"]) if (f[k]) traits[k] = f[k];
        collect("identify", f);
      });
    },
    // consent says what was agreed to: {ad_storage, ad_user_data}, each true or "granted", or one word for both.
    consent(said) {
      if (typeof said != "object") said = { ad_storage: said, ad_user_data: said };
      const next = Object.assign({}, consent);
      for (const k of ["ad_storage", "ad_user_data"]) if (k in said) next[k] = said[k] === true || said[k] == "granted";
      // What was agreed to before is taken back under the id that it was said for.
      if (!waits && shown && JSON.stringify(next) != JSON.stringify(consent)) collect("identify", { consent: next });
      const clicked = memory.c;
      consent = next;
      if (next.ad_storage === false) {
        forget();
        waits = option.consent == "wait";
      } else if (waits && next.ad_storage) {
        waits = false;
        save("c", Object.assign(load("c", {}), clicked));
        held.splice(0).forEach(send);
        flush();
      }
    },
    // reset forgets the visitor, as after signing off.
    reset: () => { forget(); memory.c = 0; traits = {}; },
  };
  function forget() {
    memory.v = anonymous = 0;
    writeCookie("", 0);
    for (const s of stores) for (const k of ["v", "c", "q"]) quietly(() => win[s].removeItem(NAME + k));
  }

  // What the page called before this was loaded.
  for (const name in api) if (typeof api[name] == "function") {
    const f = api[name];
    api[name] = function () { return quietly(() => f.apply(api, arguments)); };
  }
  win.tributary = api;
  if (off) {
    api.push = () => {};
    return;
  }
  const call = (c) => api[c[0]] && api[c[0]].apply(api, c[1]);
  api.push = call;
  const begin = () => quietly(() => {
    // Consent comes first: what was said before the page view holds for it.
    const early = Array.isArray(stub) ? stub : [];
    early.filter((c) => c[0] == "consent").forEach(call);
    if (option.pageview != "off") watch();
    early.filter((c) => c[0] != "consent").forEach(call);
    if (!waits) flush();
    win.addEventListener("online", flush);
    win.addEventListener("pagehide", leave);
  });
  if (doc.prerendering) doc.addEventListener("prerenderingchange", begin, { once: true }); // nobody sees it yet
  else begin();
})(window, document, navigator);
