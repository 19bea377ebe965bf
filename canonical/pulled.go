package canonical

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// How a receipt came where nobody sent it: we asked the CRM. Its body is that of the webhook
// that tells the same.
const (
	PulledByReconcile = "reconcile" // a change of which no webhook told
	PulledByJournal   = "journal"   // from the CRM's own list of webhooks
	PulledByImport    = "import"    // from before the account was connected: facts and history
)

// contextPulled is the key of Receipt.Context that says how a receipt was pulled. No way in
// over HTTP sets it.
const contextPulled = "pulled"

// Pull marks a receipt as one that we asked for.
func (r *Receipt) Pull(by string) { r.Context = map[string]string{contextPulled: by} }

// Pulled says how a receipt was pulled; "" where somebody sent it.
func (r *Receipt) Pulled() string { return r.Context[contextPulled] }

// PulledID is the id of the receipt that tells something pulled: always the same for the
// same, so that what is pulled twice is a redelivery. It has the form of other receipts' ids.
func PulledID(at time.Time, parts ...string) ReceiptID {
	var id ulid.ULID
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	_ = id.SetTime(uint64(max(at.UnixMilli(), 0))) // within the year 10889
	_ = id.SetEntropy(sum[:10])
	return ReceiptID(id.String())
}
