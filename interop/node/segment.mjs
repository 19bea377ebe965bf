// Segment's Node SDK, as docs/segment.md sets it up. MODE says what it is to do: send makes all
// six calls in batches and waits for them; wrong is a key of nobody's.
import { Analytics } from "@segment/analytics-node"

const cookie = "0192f0c4-1111-4222-8333-444455556666"
const answers = []
const failures = []

const analytics = new Analytics({ writeKey: process.env.WRITE_KEY, host: process.env.TRIBUTARY })
analytics.on("http_response", ({ status }) => answers.push(status))
const done = (err) => err && failures.push(String(err.reason ?? err))
if (process.env.MODE === "send") {
  const page = { url: "https://acme.example/pricing?utm_source=linkedin&utm_campaign=spring&li_fat_id=7F3c", referrer: "https://www.linkedin.com/" }
  analytics.page({ anonymousId: cookie, name: "Pricing", properties: page }, done)
  analytics.identify({ userId: "node-1", anonymousId: cookie, traits: { email: "ana@acme.example", firstName: "Ana", lastName: "Braun" } }, done)
  analytics.group({ userId: "node-1", groupId: "g-1", traits: { name: "Acme", domain: "acme.example", tier: "gold" } }, done)
  analytics.screen({ userId: "node-1", name: "Home", context: { app: { name: "Acme" } } }, done)
  analytics.track({ userId: "node-1", event: "Lead Generated", properties: { plan: "pro" } }, done)
  analytics.track({ userId: "node-1", event: "Order Completed", messageId: "node-order-1", properties: { revenue: 149.9, currency: "EUR", orderId: "o-1" }, integrations: { All: false, Meta: true } }, done)
  analytics.alias({ userId: "node-2", previousId: "node-1" }, done)
  analytics.track({ userId: "node-2", event: "Song Played", properties: { name: "Fallin" } }, done)
} else {
  analytics.track({ userId: "nobody", event: "Song Played" }, done)
}
await analytics.closeAndFlush({ timeout: 60000 })
process.stdout.write(JSON.stringify({ answers, failures }))
