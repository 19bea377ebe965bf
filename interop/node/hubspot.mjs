// HubSpot's own signature helper as the sender: signs what REQUESTS lists ({version, method, url,
// body}) for the address that the router is known by, sends each to TRIBUTARY, once as signed and
// once tampered with, and prints the statuses.
import hubspot from "@hubspot/api-client"

const answers = []
for (const { version, method, url, body } of JSON.parse(process.env.REQUESTS)) {
  const timestamp = Date.now()
  const signature = hubspot.Signature.getSignature(method, version, { clientSecret: process.env.CLIENT_SECRET, requestBody: body, url, timestamp })
  const headers = { "Content-Type": "application/json" }
  if (version === "v3") {
    headers["X-HubSpot-Signature-v3"] = signature
    headers["X-HubSpot-Request-Timestamp"] = String(timestamp)
  } else {
    headers["X-HubSpot-Signature"] = signature
    headers["X-HubSpot-Signature-Version"] = version
  }
  const { pathname, search } = new URL(url)
  const send = async (path, text) => {
    const answer = await fetch(process.env.TRIBUTARY + path, { method, headers, ...(method === "GET" ? {} : { body: text }) })
    await answer.text()
    return answer.status
  }
  const tampered = method === "GET" ? send(pathname + search + "&more=1", "") : send(pathname + search, body.replace("1001", "1002"))
  answers.push({ signed: await send(pathname + search, body), tampered: await tampered })
}
process.stdout.write(JSON.stringify({ answers }))
